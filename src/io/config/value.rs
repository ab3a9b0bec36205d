//! Values: what a key accepts, from text and from TOML, and how it is shown.

use std::fmt::Write as _;
use std::net::IpAddr;

use bitfitech_core::types::AuthorKey;
use toml::de::DeValue;

use super::host_port::HostPort;
use super::settings::TargetLevel;

/// A secret as errors show it.
const HIDDEN: &str = "a value that is not shown";

/// Longest secret. A guess: four times what a key of 256 bits needs in hexadecimal digits.
const SECRET_BYTES_MAX: usize = 256;

/// What values a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// A whole number within a range.
    Integer {
        /// Least allowed.
        min: i64,
        /// Most allowed.
        max: i64,
        /// Unit, or empty.
        unit: &'static str,
    },
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A directory.
    Directory,
    /// A directory, or empty.
    OptionalDirectory,
    /// A file, or empty.
    OptionalPath,
    /// Text that is checked with the genesis.
    Text,
    /// A decimal number that is checked with the market.
    Decimal,
    /// An IP address.
    Address,
    /// `http://host:port`, one or several separated by commas.
    HttpUrls,
    /// A word that nobody may see: neither errors nor `config show` say it.
    Secret,
    /// Any number of these.
    List(Item),
}

/// What a list is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// `host:port`.
    Peer,
    /// The key of an author.
    Author,
    /// `target=level`.
    TargetLevel,
    /// The origin of a page, `http://host:port`.
    Origin,
}

/// A value of the right kind and within its range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// Of a boolean key.
    Boolean(bool),
    /// Of an integer key.
    Integer(i64),
    /// Of all keys that are strings in TOML.
    Text(String),
    /// Of a list.
    List(Vec<String>),
}

/// A value that a key does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rejected {
    /// The value, or the element of a list, that is wrong.
    pub(super) shown: String,
    /// What it must be.
    pub(super) expected: String,
}

impl Kind {
    /// What a value must be, to follow "must be".
    pub(super) fn expected(&self) -> String {
        match self {
            Self::Boolean => "true or false".to_owned(),
            Self::Integer { min, max, unit } => {
                let space = if unit.is_empty() { "" } else { " " };
                format!("a whole number from {min} to {max}{space}{unit}")
            }
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Directory => "the path of a directory, not empty".to_owned(),
            Self::OptionalDirectory => "the path of a directory, or empty".to_owned(),
            Self::OptionalPath => "the path of a file, or empty".to_owned(),
            Self::Text => "text without control characters".to_owned(),
            Self::Decimal => "a decimal number in quotes, such as \"0.01\"".to_owned(),
            Self::Address => "an IP address such as 0.0.0.0, 127.0.0.1 or ::".to_owned(),
            Self::HttpUrls => "http://host:port such as http://127.0.0.1:30001".to_owned(),
            Self::Secret => format!(
                "at most {SECRET_BYTES_MAX} letters, digits and other visible characters of ASCII"
            ),
            Self::List(item) => format!("a list of which each is {}", item.expected()),
        }
    }

    /// Reads a value from the command line or the environment.
    pub(super) fn read_text(&self, text: &str) -> Result<Value, Rejected> {
        let value = match self {
            Self::Boolean => read_boolean(text).map(Value::Boolean),
            Self::Integer { .. } => text.parse().ok().map(Value::Integer),
            Self::List(_) if text.trim().is_empty() => Some(Value::List(Vec::new())),
            Self::List(_) => {
                let items = text.split(',').map(|item| item.trim().to_owned());
                Some(Value::List(items.collect()))
            }
            _ => Some(Value::Text(text.to_owned())),
        };
        match value {
            Some(value) => self.check(value),
            None => Err(self.reject(format!("`{}`", shorten(text)))),
        }
    }

    /// Reads a value from a file.
    pub(super) fn read_toml(&self, value: &DeValue<'_>) -> Result<Value, Rejected> {
        let read = match (self, value) {
            (Self::Boolean, DeValue::Boolean(value)) => Some(Value::Boolean(*value)),
            (Self::Integer { .. }, DeValue::Integer(value)) => {
                let number = i64::from_str_radix(value.as_str(), value.radix());
                number.ok().map(Value::Integer)
            }
            // Whole numbers are exact, so a limit may be written without quotes.
            (Self::Decimal, DeValue::Integer(value)) if value.radix() == 10 => {
                Some(Value::Text(value.as_str().to_owned()))
            }
            (Self::List(_), DeValue::Array(items)) => {
                let texts = items.iter().map(|item| match item.get_ref().as_str() {
                    Some(text) => Ok(text.to_owned()),
                    None => Err(self.reject(describe(item.get_ref()))),
                });
                Some(Value::List(texts.collect::<Result<_, _>>()?))
            }
            (Self::Boolean | Self::Integer { .. } | Self::List(_), _) => None,
            (_, value) => value.as_str().map(|text| Value::Text(text.to_owned())),
        };
        match read {
            Some(value) => self.check(value),
            None if *self == Self::Secret => Err(self.reject(HIDDEN.to_owned())),
            None => Err(self.reject(describe(value))),
        }
    }

    /// Checks ranges and forms.
    fn check(&self, value: Value) -> Result<Value, Rejected> {
        match (self, &value) {
            (Self::List(item), Value::List(texts)) => {
                let wrong = texts.iter().find(|text| !item.accepts(text));
                wrong.map_or(Ok(()), |text| {
                    Err(self.reject(format!("`{}`", shorten(text))))
                })
            }
            (Self::Integer { min, max, .. }, Value::Integer(number))
                if !(min..=max).contains(&number) =>
            {
                Err(self.reject(format!("`{number}`")))
            }
            (_, Value::Text(text)) if !self.accepts_text(text) => {
                Err(self.reject(self.shown(text)))
            }
            _ => Ok(()),
        }?;
        Ok(value)
    }

    fn accepts_text(&self, text: &str) -> bool {
        let fits = match self {
            Self::Choice(words) => words.contains(&text),
            Self::Directory => !text.is_empty(),
            Self::Address => text.parse::<IpAddr>().is_ok(),
            Self::HttpUrls => text.split(',').all(|url| is_http_url(url.trim())),
            Self::Secret => is_secret(text),
            _ => true,
        };
        fits && !text.chars().any(char::is_control)
    }

    /// A text as errors show it.
    fn shown(&self, text: &str) -> String {
        match self {
            Self::Secret => HIDDEN.to_owned(),
            _ => format!("`{}`", shorten(text)),
        }
    }

    fn reject(&self, shown: String) -> Rejected {
        Rejected {
            shown,
            expected: self.expected(),
        }
    }
}

impl Item {
    fn expected(self) -> &'static str {
        match self {
            Self::Peer => "host:port such as 192.0.2.1:3000",
            Self::Author => "a key of 64 hexadecimal digits",
            Self::TargetLevel => "target=level such as matcher=debug",
            Self::Origin => "http://host:port or https://host:port, without a path",
        }
    }

    fn accepts(self, text: &str) -> bool {
        match self {
            Self::Peer => text.parse::<HostPort>().is_ok(),
            Self::Author => AuthorKey::from_hex(text).is_some(),
            Self::TargetLevel => text.parse::<TargetLevel>().is_ok(),
            Self::Origin => is_origin(text),
        }
    }
}

impl Value {
    /// The value as TOML.
    pub(super) fn to_toml(&self) -> String {
        match self {
            Self::Boolean(value) => value.to_string(),
            Self::Integer(value) => value.to_string(),
            Self::Text(text) => quote(text),
            Self::List(items) => {
                let quoted: Vec<String> = items.iter().map(|item| quote(item)).collect();
                format!("[{}]", quoted.join(", "))
            }
        }
    }
}

/// Reads the words that people use for yes and no.
pub(super) fn read_boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

/// Whether a text is `http://host:port`, with or without a slash behind it.
fn is_http_url(text: &str) -> bool {
    let rest = text.strip_prefix("http://");
    let address = rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest));
    address.is_some_and(|address| address.parse::<HostPort>().is_ok())
}

/// Whether a text is an origin as browsers write it. It goes into headers, so nothing else may be.
fn is_origin(text: &str) -> bool {
    let rest = ["http://", "https://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".:[]-".contains(&byte);
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(plain))
}

/// Whether a text can be a token in a header of HTTP, or is empty.
fn is_secret(text: &str) -> bool {
    text.len() <= SECRET_BYTES_MAX && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Foreign text as part of one line: escaped, and cut after 60 characters.
pub(super) fn shorten(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push('…');
    }
    shown
}

/// A TOML value as errors show it: content and type.
fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the string `{}`", shorten(text)),
        DeValue::Integer(number) => format!("`{}`", shorten(&number.to_string())),
        DeValue::Float(number) => format!("the float `{}`", shorten(number.as_str())),
        DeValue::Boolean(value) => format!("`{value}`"),
        DeValue::Datetime(value) => format!("the date `{}`", shorten(&value.to_string())),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// A basic string of TOML.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => {
                // Writing to a string cannot fail.
                let _ = write!(quoted, "\\u{:04X}", u32::from(control));
            }
            plain => quoted.push(plain),
        }
    }
    quoted.push('"');
    quoted
}
