//! Values of the DHT as JSON, the way Grenache's Grape takes and gives them.
//!
//! Its program is JavaScript, whose conversions its clients see: text becomes its UTF-8 bytes, a
//! fraction is cut off, truth is 1, what is null within a value is left out; and whatever a value
//! is, it comes back as the text that JavaScript makes of it.

use bitfitech_core::bencode::{Value as Bencode, Writer};
use serde_json::{Map, Value};

/// A value of JSON in bencode.
pub(crate) fn encode(value: &Value) -> Vec<u8> {
    let mut out = Writer::default();
    write(&mut out, value);
    out.into_bytes()
}

fn write(out: &mut Writer, value: &Value) {
    match value {
        Value::Null => {}
        Value::Bool(truth) => out.integer(i64::from(*truth)),
        Value::Number(number) => out.integer(whole(number)),
        Value::String(text) => out.bytes(text.as_bytes()),
        Value::Array(list) => {
            out.begin_list();
            list.iter().for_each(|item| write(out, item));
            out.end();
        }
        Value::Object(entries) => {
            let mut sorted: Vec<(&String, &Value)> = entries
                .iter()
                .filter(|(_, entry)| !entry.is_null())
                .collect();
            // The order of JavaScript: by units of UTF-16.
            sorted.sort_by(|(left, _), (right, _)| left.encode_utf16().cmp(right.encode_utf16()));
            out.begin_dictionary();
            for (key, entry) in sorted {
                out.bytes(key.as_bytes());
                write(out, entry);
            }
            out.end();
        }
    }
}

/// The whole part of a number.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the conversion saturates, and beyond 2^53 JavaScript has no whole numbers either"
)]
pub(crate) fn whole(number: &serde_json::Number) -> i64 {
    let float = || number.as_f64().unwrap_or(0.0).trunc() as i64;
    number.as_i64().unwrap_or_else(float)
}

/// What JavaScript calls the length of a value, if it has one.
pub(crate) fn length(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => u64::try_from(text.encode_utf16().count()).ok(),
        Value::Array(list) => u64::try_from(list.len()).ok(),
        Value::Object(entries) => entries.get("length").and_then(Value::as_u64),
        _ => None,
    }
}

/// The text that JavaScript makes of a value.
pub(crate) fn text(value: &Bencode<'_>) -> String {
    match value {
        Bencode::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Bencode::Integer(number) => number.to_string(),
        Bencode::List(list) => {
            let items: Vec<String> = list.iter().map(text).collect();
            items.join(",")
        }
        Bencode::Dictionary(_) => "[object Object]".to_owned(),
    }
}

/// How the text of a byte string is written if it is no JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextForm {
    /// Hexadecimal, up to the first character that is none.
    Hex,
    /// As it is.
    Plain,
}

/// The byte string that a field stands for: JSON of an array or of a text within the text, else
/// the text itself; or such an array without the text around it.
pub(crate) fn byte_string(field: &Value, form: TextForm) -> Option<Vec<u8>> {
    match field {
        Value::String(text) => Some(match serde_json::from_str(text) {
            Ok(inner @ (Value::Array(_) | Value::Object(_))) => {
                array_bytes(&inner).unwrap_or_else(|| text_bytes(text, form))
            }
            Ok(Value::String(inner)) => inner.into_bytes(),
            _ => text_bytes(text, form),
        }),
        _ => array_bytes(field),
    }
}

fn text_bytes(text: &str, form: TextForm) -> Vec<u8> {
    match form {
        TextForm::Plain => text.as_bytes().to_vec(),
        TextForm::Hex => {
            let digit = |byte: &u8| char::from(*byte).to_digit(16);
            let pairs = text.as_bytes().chunks_exact(2);
            let bytes =
                pairs.map_while(|pair| Some((digit(&pair[0])? * 16 + digit(&pair[1])?) as u8));
            bytes.collect()
        }
    }
}

/// The bytes of an array of numbers, or of the JSON form of a Buffer.
fn array_bytes(field: &Value) -> Option<Vec<u8>> {
    let is_buffer = |entries: &&Map<String, Value>| entries.get("type") == Some(&"Buffer".into());
    let list = match field {
        Value::Array(list) => list,
        Value::Object(_) => field
            .as_object()
            .filter(is_buffer)?
            .get("data")?
            .as_array()?,
        _ => return None,
    };
    let byte = |item: &Value| {
        item.as_number()
            .map_or(0, |number| (whole(number) & 0xff) as u8)
    };
    Some(list.iter().map(byte).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use bitfitech_core::bencode::decode;
    use serde_json::json;

    #[test]
    fn values_are_encoded_as_javascript_would() {
        let cases = [
            (json!("hé"), &b"3:h\xc3\xa9"[..]),
            (json!(-1.9), b"i-1e"),
            (json!(1.0e300), b"i9223372036854775807e"),
            (json!(true), b"i1e"),
            (json!([1, null, "a"]), b"li1e1:ae"),
            (json!({"b": 1, "a": null, "B": [2]}), b"d1:Bli2ee1:bi1ee"),
        ];
        for (value, expected) in cases {
            assert_eq!(encode(&value), expected, "{value}");
        }
    }

    #[test]
    fn values_come_back_as_text() {
        let cases: [(&[u8], &str); 4] = [
            (b"5:hello", "hello"),
            (b"i5e", "5"),
            (b"l1:ai1el1:b1:cee", "a,1,b,c"),
            (b"de", "[object Object]"),
        ];
        for (encoded, expected) in cases {
            assert_eq!(text(&decode(encoded).expect("bencode")), expected);
        }
    }

    #[test]
    fn byte_strings_have_several_forms() {
        let bytes = |field: Value| byte_string(&field, TextForm::Hex);
        assert_eq!(bytes(json!("0aFf")), Some(vec![0x0a, 0xff]));
        assert_eq!(bytes(json!("0azz0a")), Some(vec![0x0a]));
        assert_eq!(bytes(json!("1234")), Some(vec![0x12, 0x34]));
        assert_eq!(bytes(json!("[10, 255]")), Some(vec![10, 255]));
        assert_eq!(bytes(json!([10, 255])), Some(vec![10, 255]));
        let buffer = json!({"type": "Buffer", "data": [10, 255]});
        assert_eq!(bytes(json!(buffer.to_string())), Some(vec![10, 255]));
        assert_eq!(bytes(buffer), Some(vec![10, 255]));
        assert_eq!(bytes(json!(5)), None);
        let plain = byte_string(&json!("sälz"), TextForm::Plain);
        assert_eq!(plain, Some("sälz".as_bytes().to_vec()));
    }
}
