//! The header fields of every call, with the secrets that scenarios only name.
//!
//! # Invariants
//!
//! - A secret is read once, when the target is reached, and every one that is sent is known to
//!   the veil.

use std::fs;

use infermark_drive::{Endpoint, Proxy, Response};
use infermark_scenario::intent::{Access, HeaderValue, Secret};
use infermark_terms::{Api, Excerpt};

use crate::RunError;
use crate::load::Secrets;
use crate::veil::Veil;

/// The header fields of every call.
#[derive(Clone, Default)]
pub(crate) struct Headers {
    /// Names and values, secrets included.
    pub(crate) fields: Vec<(String, String)>,
    /// What of them must not be repeated.
    pub(crate) veil: Veil,
    /// The API key among them.
    key: Option<String>,
}

impl Headers {
    /// Returns the fields that a scenario asks for.
    ///
    /// # Errors
    ///
    /// If a secret is not where the scenario says, or cannot stand in a header.
    pub(crate) fn of(access: &Access, secrets: &Secrets<'_>) -> Result<Self, RunError> {
        let mut headers = Self::default();
        if let Some(place) = &access.api_key {
            let setting = match place {
                Secret::Env(_) => "--api-key-env",
                Secret::File(_) => "--api-key-file",
            };
            let key = headers.secret(place, setting, secrets)?;
            headers.add("Authorization", format!("Bearer {key}"));
            headers.key = Some(key);
        }
        for (name, value) in &access.headers {
            let value = match value {
                HeaderValue::Plain(text) => text.clone(),
                HeaderValue::Secret(place) => headers.secret(place, "--header", secrets)?,
            };
            headers.add(name, value);
        }
        Ok(headers)
    }

    /// Adds what an API wants beside the fields of every call. Anthropic's servers read the key
    /// from a field of their own.
    pub(crate) fn speak(&mut self, api: Api) {
        for (name, value) in infermark_wire::dialect::headers(api) {
            self.add(name, (*value).to_owned());
        }
        if let Some(key) = self.key.clone().filter(|_| api == Api::Anthropic) {
            self.add("x-api-key", key);
        }
    }

    /// Veils what is shown to the proxy that leads to a server, which it may quote.
    pub(crate) fn pass(&mut self, endpoint: &Endpoint) {
        if let Some((_, value)) = endpoint.proxy().and_then(Proxy::field) {
            self.veil.add(&value);
        }
    }

    /// Returns what a server says beside a status: the message of its JSON error, else the
    /// beginning of the body; without our secrets.
    pub(crate) fn stated(&self, response: &Response) -> Excerpt {
        self.veil.excerpt(&infermark_wire::stated(&response.body))
    }

    fn add(&mut self, name: &str, value: String) {
        self.fields.push((name.to_owned(), value));
    }

    fn secret(
        &mut self,
        place: &Secret,
        setting: &str,
        secrets: &Secrets<'_>,
    ) -> Result<String, RunError> {
        let text = match place {
            Secret::Env(name) => secrets(name).ok_or_else(|| RunError::Secret {
                name: name.clone(),
                setting: setting.to_owned(),
            })?,
            Secret::File(path) => fs::read_to_string(path)
                .map_err(|source| RunError::SecretFile { path: path.clone(), source })?,
        };
        let text = text.trim();
        let fits = |byte: u8| byte == b'\t' || (b' '..=b'~').contains(&byte);
        if text.is_empty() || !text.bytes().all(fits) {
            return Err(RunError::SecretText {
                place: match place {
                    Secret::Env(name) => format!("the environment variable `{name}`"),
                    Secret::File(path) => path.display().to_string(),
                },
            });
        }
        self.veil.add(text);
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use infermark_scenario::resolve;
    use infermark_terms::Seed;

    use super::*;

    fn headers(access: &Access) -> Result<Headers, RunError> {
        let secrets = |name: &str| match name {
            "KEY" => Some("sk-4711-abcd\n".to_owned()),
            "TWO_LINES" => Some("a\r\nX-Other: b".to_owned()),
            "BLANK" => Some(" ".to_owned()),
            _ => None,
        };
        Headers::of(access, &secrets)
    }

    fn access(api_key: Secret) -> Access {
        let mut access = resolve(Vec::new(), Seed(1)).unwrap().scenario.access;
        access.api_key = Some(api_key);
        access
    }

    #[test]
    fn secrets_come_from_variables_and_files_and_are_known_to_the_veil() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        std::fs::write(&file, " tok-en-from-a-file\n").unwrap();
        let mut access = access(Secret::Env("KEY".to_owned()));
        access.headers = vec![("X-Key".to_owned(), HeaderValue::Secret(Secret::File(file)))];
        let headers = headers(&access).unwrap();
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let expected =
            [field("Authorization", "Bearer sk-4711-abcd"), field("X-Key", "tok-en-from-a-file")];
        assert_eq!(headers.fields, expected);
        let body = br#"{"error": {"message": "not sk-4711-abcd, not tok-en-from-a-file"}}"#;
        let response = Response { status: 401, body: body.to_vec(), date: None };
        assert_eq!(headers.stated(&response).as_str(), "not [secret], not [secret]");
    }

    #[test]
    fn a_secret_that_cannot_stand_in_a_header_is_refused_without_being_shown() {
        for name in ["TWO_LINES", "BLANK"] {
            let Err(error) = headers(&access(Secret::Env(name.to_owned()))) else { panic!() };
            let error = error.to_string();
            assert!(error.contains(&format!("`{name}`")) && !error.contains("Other"), "{error}");
        }
        let Err(error) = headers(&access(Secret::File("no/such/file".into()))) else { panic!() };
        assert!(error.to_string().contains("no/such/file"), "{error}");
    }
}
