//! Which message a body holds, by its headers.
//! In: `Content-Type` and `Content-Encoding`. Out: [`Version`], or why the answer is 415.
//! Never: looks at the version header, which senders may leave out.
//! Start at [`negotiate`].

use std::fmt;

/// The two messages of remote write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Version {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V1 => "application/x-protobuf;proto=prometheus.WriteRequest",
            Self::V2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
        }
    }

    /// The value of `X-Prometheus-Remote-Write-Version`.
    pub fn header(self) -> &'static str {
        match self {
            Self::V1 => "0.1.0",
            Self::V2 => "2.0.0",
        }
    }

    /// One byte for the write-ahead log.
    pub fn code(self) -> u8 {
        match self {
            Self::V1 => 1,
            Self::V2 => 2,
        }
    }

    pub fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::V1),
            2 => Some(Self::V2),
            _ => None,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if *self == Self::V1 { "1.0" } else { "2.0" })
    }
}

/// The answer is 415, and the text says what we would take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unsupported {
    #[error(
        "unsupported content type {0:?}: send application/x-protobuf, with proto=prometheus.WriteRequest or proto=io.prometheus.write.v2.Request"
    )]
    ContentType(String),
    #[error("unsupported content encoding {0:?}: send snappy (block format)")]
    ContentEncoding(String),
}

/// An absent or empty content type is 1.0, an absent or empty encoding is snappy (remote-write specification 2.0, "Protocol").
pub fn negotiate(content_type: &str, content_encoding: &str) -> Result<Version, Unsupported> {
    let unsupported = || Unsupported::ContentType(content_type.chars().take(200).collect());
    let mut parts = content_type.split(';').map(str::trim);
    let media = parts.next().unwrap_or("");
    let version = if content_type.trim().is_empty() {
        Version::V1
    } else if media.eq_ignore_ascii_case("application/x-protobuf") {
        let mut version = Version::V1;
        for parameter in parts {
            let (key, value) = parameter.split_once('=').ok_or_else(unsupported)?;
            if key.trim().eq_ignore_ascii_case("proto") {
                version = match value.trim().trim_matches('"') {
                    "prometheus.WriteRequest" => Version::V1,
                    "io.prometheus.write.v2.Request" => Version::V2,
                    _ => return Err(unsupported()),
                };
            }
        }
        version
    } else {
        return Err(unsupported());
    };
    let encoding = content_encoding.trim();
    if encoding.is_empty() || encoding.eq_ignore_ascii_case("snappy") {
        Ok(version)
    } else {
        Err(Unsupported::ContentEncoding(encoding.chars().take(200).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_decide() {
        let check = |content_type: &str, encoding: &str, expect: Option<Version>| {
            assert_eq!(negotiate(content_type, encoding).ok(), expect, "{content_type:?} {encoding:?}");
        };
        check("", "", Some(Version::V1));
        check("application/x-protobuf", "snappy", Some(Version::V1));
        check("Application/X-Protobuf", "Snappy", Some(Version::V1));
        check(Version::V1.content_type(), "snappy", Some(Version::V1));
        check(Version::V2.content_type(), "", Some(Version::V2));
        check("application/x-protobuf; proto=io.prometheus.write.v2.Request", "snappy", Some(Version::V2));
        check("application/x-protobuf;charset=utf-8", "snappy", Some(Version::V1));
        check("application/x-protobuf;", "snappy", None);
        check("application/x-protobuf;proto", "snappy", None);
        check("application/x-protobuf;proto=yolo", "snappy", None);
        check("application/json", "snappy", None);
        check("yolo", "snappy", None);
        check(Version::V2.content_type(), "gzip", None);
        check("", "zstd", None);
    }
}
