//! Query parameters, repeated ones included.
//! In: the raw query of a URL. Out: values by name, with the refusals Alertmanager's API gives.
//! Never: guesses; a flag that is neither true nor false is an error.
//! Start at [`Params::of`].

use super::error::ApiError;

/// Parameters in the order they came.
pub struct Params(Vec<(String, String)>);

impl Params {
    pub fn of(uri: &axum::http::Uri) -> Self {
        let query = uri.query().unwrap_or("");
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// Parameters of a form body, then of the URL, as Prometheus' query API takes both.
    pub fn with_form(uri: &axum::http::Uri, body: &[u8]) -> Self {
        let mut params = Self(form_urlencoded::parse(body).into_owned().collect());
        params.0.extend(Self::of(uri).0);
        params
    }

    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, String)>) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Every value of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.0.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value that is not empty.
    pub fn one<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).find(|v| !v.is_empty())
    }

    pub fn flag(&self, name: &str, default: bool) -> Result<bool, ApiError> {
        match self.one(name) {
            None => Ok(default),
            Some("true" | "1") => Ok(true),
            Some("false" | "0") => Ok(false),
            Some(other) => Err(ApiError::Invalid(format!("parameter {name}: {other:?} is neither true nor false"))),
        }
    }

    pub fn number(&self, name: &str, default: usize) -> Result<usize, ApiError> {
        match self.one(name) {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| ApiError::Invalid(format!("parameter {name}: {text:?} is not a number")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_and_flags() {
        let params = Params::of(&"/x?filter=a%3D%22b%22&filter=c&active=false&n=7".parse().unwrap());
        assert_eq!(params.all("filter").collect::<Vec<_>>(), ["a=\"b\"", "c"]);
        assert!(!params.flag("active", true).unwrap());
        assert!(params.flag("silenced", true).unwrap());
        assert!(params.flag("filter", true).is_err());
        assert_eq!(params.number("n", 1).unwrap(), 7);
    }
}
