//! Durations as they are typed and shown: `500ms`, `30s`, `5m`, `2h`, `1d`.

/// The units, longest first, with their length in milliseconds.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a whole number with its unit as milliseconds; `None` for anything else.
pub(crate) fn parse_duration_ms(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let mut units = UNITS.into_iter();
    let (_, unit_ms) = units.find(|(name, _)| unit.eq_ignore_ascii_case(name))?;
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

/// The shortest text that reads as exactly so many milliseconds.
pub(crate) fn exact_text(duration_ms: u64) -> String {
    let mut units = UNITS.into_iter();
    let fitting =
        units.find(|(_, unit_ms)| duration_ms > 0 && duration_ms.is_multiple_of(*unit_ms));
    let (unit, unit_ms) = fitting.unwrap_or(("ms", 1));
    format!("{}{unit}", duration_ms / unit_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_whole_number_and_a_unit() {
        for (text, duration_ms) in [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("5M", Some(300_000)),
            ("2h", Some(7_200_000)),
            ("1d", Some(86_400_000)),
            ("0s", Some(0)),
            ("30", None),
            ("s", None),
            ("", None),
            ("-1s", None),
            ("1.5s", None),
            ("1 s", None),
            ("1w", None),
            ("18446744073709551615s", None),
            ("99999999999999999999ms", None),
            ("1é", None),
        ] {
            assert_eq!(parse_duration_ms(text), duration_ms, "`{text}`");
        }
    }

    #[test]
    fn exact_texts_read_back_and_use_the_longest_unit() {
        for (duration_ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_500, "1500ms"),
            (90_000, "90s"),
            (3_600_000, "1h"),
            (172_800_000, "2d"),
        ] {
            assert_eq!(exact_text(duration_ms), text);
            assert_eq!(parse_duration_ms(text), Some(duration_ms));
        }
    }
}
