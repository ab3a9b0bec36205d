//! Bytes as text: lower-case hexadecimal, and back from either case.

use alloc::format;
use alloc::string::String;
use core::fmt;

/// Writes bytes as lower-case hexadecimal.
pub(crate) fn write(bytes: &[u8], out: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
}

/// Bytes as lower-case hexadecimal.
pub fn text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads `text` as exactly so many bytes of hexadecimal.
pub fn parse<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high * 16 + low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_read_back_and_nothing_else_is_read() {
        assert_eq!(text(&[0x0a, 0xff]), "0aff");
        assert_eq!(parse("0aFf"), Some([0x0a, 0xff]));
        for wrong in ["0aff0", "0aff00", "0a", "0azz", "0äff"] {
            assert_eq!(parse::<2>(wrong), None, "{wrong}");
        }
    }
}
