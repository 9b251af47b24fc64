//! Headers, names of environment variables, and tags. Faults of headers never quote the value.

use super::{Codec, Fault, PATH};
use crate::intent::{HeaderValue, Secret};

/// What marks a header's value as the name of a variable.
const ENV_MARK: &str = "env:";

/// What marks it as the path of a file.
const FILE_MARK: &str = "file:";

/// Headers that frame a request or say what it holds; the client writes them itself, and a
/// second one would break the protocol.
const OWN_HEADERS: [&str; 7] =
    ["accept", "connection", "content-length", "content-type", "host", "te", "transfer-encoding"];

/// Pieces of the names of headers that carry secrets.
const SECRET_NAMES: [&str; 11] = [
    "auth",
    "token",
    "secret",
    "passw",
    "api-key",
    "api_key",
    "apikey",
    "access-key",
    "subscription-key",
    "cookie",
    "credential",
];

/// Beginnings of values that are secrets, in lower case.
const SECRET_VALUES: [&str; 3] = ["bearer ", "basic ", "sk-"];

/// A header.
pub(crate) const HEADER: Codec<(String, HeaderValue)> =
    Codec { parse: |text| parse_header(text).map_err(Fault::withheld), print: print_header };

fn parse_header(text: &str) -> Result<(String, HeaderValue), Fault> {
    let expected = "`Name: value`, `Name: env:VAR` or `Name: file:PATH`";
    let fault = |found: String| Fault::new(found, expected);
    let (name, value) =
        text.split_once(':').ok_or_else(|| fault("no colon after the name".to_owned()))?;
    let (name, value) = (name.trim_end(), value.trim());
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(fault("what stands before the colon is not a header's name".to_owned()));
    }
    let plain = name.to_ascii_lowercase();
    if OWN_HEADERS.contains(&plain.as_str()) {
        return Err(fault(format!("`{name}` is set by infermark itself")).hint("leave it out"));
    }
    if let Some(variable) = value.strip_prefix(ENV_MARK) {
        let variable = parse_env_name(variable)?;
        return Ok((name.to_owned(), HeaderValue::Secret(Secret::Env(variable))));
    }
    if let Some(path) = value.strip_prefix(FILE_MARK) {
        let path = (PATH.parse)(path)?;
        return Ok((name.to_owned(), HeaderValue::Secret(Secret::File(path))));
    }
    if !value.bytes().all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte)) {
        return Err(fault(format!("the value of `{name}` is not one line of ASCII text")));
    }
    let lower = value.to_ascii_lowercase();
    if SECRET_NAMES.iter().any(|piece| plain.contains(piece))
        || SECRET_VALUES.iter().any(|start| lower.starts_with(start))
    {
        return Err(Fault::new(
            format!("the value of `{name}` looks like a secret, and would stand in records"),
            format!("`{name}: env:VAR` or `{name}: file:PATH`"),
        )
        .hint("put it into an environment variable; for a bearer token give `api_key_env`"));
    }
    Ok((name.to_owned(), HeaderValue::Plain(value.to_owned())))
}

/// Whether a byte may stand in a header's name (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn print_header((name, value): &(String, HeaderValue)) -> String {
    match value {
        HeaderValue::Plain(value) => format!("{name}: {value}"),
        HeaderValue::Secret(Secret::Env(variable)) => format!("{name}: {ENV_MARK}{variable}"),
        HeaderValue::Secret(Secret::File(path)) => {
            format!("{name}: {FILE_MARK}{}", (PATH.print)(path))
        }
    }
}

/// The name of an environment variable. What is not one may be the secret itself.
pub(crate) const ENV_NAME: Codec<String> =
    Codec { parse: |text| parse_env_name(text).map_err(Fault::withheld), print: String::clone };

fn parse_env_name(text: &str) -> Result<String, Fault> {
    let plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain && text.starts_with(|c: char| !c.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err(Fault::new(
            "not the name of an environment variable",
            "letters, digits and `_`, such as `OPENAI_API_KEY`",
        ))
    }
}

/// A tag.
pub(crate) const TAG: Codec<(String, String)> =
    Codec { parse: parse_tag, print: |(key, value)| format!("{key}={value}") };

fn parse_tag(text: &str) -> Result<(String, String), Fault> {
    let fault = |found| Fault::new(found, "`key=value`");
    let (key, value) = text.split_once('=').ok_or_else(|| fault("no `=`"))?;
    let (key, value) = (key.trim_end(), value.trim_start());
    let plain = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    if key.is_empty() || !key.chars().all(plain) {
        return Err(fault("the key is not of letters, digits, `_`, `-`, `.` and `/`"));
    }
    if value.contains(char::is_control) {
        return Err(fault("the value holds a line end or control character"));
    }
    Ok((key.to_owned(), value.to_owned()))
}
