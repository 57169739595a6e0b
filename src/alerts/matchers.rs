//! Matchers as text: `severity=~"page|critical"`, in the configuration, in API filters and on the command line.
//! In: text. Out: [`Matcher`]s, or Alertmanager's own words about what is wrong.
//! Never: guesses; where its two grammars disagree the classic one wins, as in Alertmanager, and that is said.
//! Start at [`parse`] (many) and [`parse_one`] (exactly one).

mod classic;
mod utf8;

use crate::model::{MatchOp, Matcher};
pub use classic::parse_classic;
pub use utf8::{is_reserved, parse_utf8};

/// The longest text that is parsed; what people write fits many times over.
pub const TEXT_MAX_BYTES: usize = 64 * 1024;

/// Why a text is no matcher. The texts are Alertmanager's, except what a regex engine says about a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatcherError {
    /// The text does not follow the grammar.
    #[error("{0}")]
    Syntax(String),
    /// The text is a matcher, but its pattern does not compile.
    #[error("error parsing regexp: {0}")]
    Pattern(String),
    #[error("no matchers")]
    None,
    #[error("expected 1 matcher, found {0}")]
    Many(usize),
    #[error("matcher is longer than {TEXT_MAX_BYTES} bytes")]
    TooLong,
}

/// Matchers, and a word of warning when the two grammars read the text differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    pub matchers: Vec<Matcher>,
    pub warning: Option<String>,
}

/// Any number of matchers with commas between them, with or without braces: the configuration's form.
pub fn parse(text: &str) -> Result<Vec<Matcher>, MatcherError> {
    Ok(parse_with_warning(text)?.matchers)
}

/// [`parse`], with the warning that Alertmanager would log.
pub fn parse_with_warning(text: &str) -> Result<Parsed, MatcherError> {
    if text.len() > TEXT_MAX_BYTES {
        return Err(MatcherError::TooLong);
    }
    choose(text, parse_utf8(text), parse_classic(text))
}

/// Exactly one matcher without braces: the form of API filters and of amtool.
pub fn parse_one(text: &str) -> Result<Matcher, MatcherError> {
    if text.len() > TEXT_MAX_BYTES {
        return Err(MatcherError::TooLong);
    }
    if text.starts_with('{') || text.ends_with('}') {
        return Err(MatcherError::Syntax(format!("unexpected open or close brace: {text}")));
    }
    let classic = classic::parse_single(text).map(|m| vec![m]);
    let mut parsed = choose(text, parse_utf8_one(text).map(|m| vec![m]), classic)?;
    parsed.matchers.pop().ok_or(MatcherError::None)
}

/// Exactly one matcher in the UTF-8 grammar, braces allowed.
pub fn parse_utf8_one(text: &str) -> Result<Matcher, MatcherError> {
    let mut matchers = parse_utf8(text)?;
    match matchers.len() {
        0 | 1 => matchers.pop().ok_or(MatcherError::None),
        n => Err(MatcherError::Many(n)),
    }
}

/// A `match:` entry of a route or an inhibition rule.
pub fn from_match(name: &str, value: &str) -> Matcher {
    Matcher::equal(name, value)
}

/// A `match_re:` entry; its pattern is anchored in the text, because route keys print it so.
pub fn from_match_re(name: &str, pattern: &str) -> Result<Matcher, MatcherError> {
    Matcher::new(name, MatchOp::Regex, &format!("^(?:{pattern})$")).map_err(MatcherError::Pattern)
}

fn choose(
    text: &str,
    utf8: Result<Vec<Matcher>, MatcherError>,
    classic: Result<Vec<Matcher>, MatcherError>,
) -> Result<Parsed, MatcherError> {
    match (utf8, classic) {
        (Err(_), Err(classic)) => Err(classic),
        (Ok(matchers), Err(_)) => Ok(Parsed { matchers, warning: None }),
        (Err(utf8), Ok(matchers)) => {
            let warning = format!("matcher {text:?} is not valid in the UTF-8 grammar ({utf8}); quote its value");
            Ok(Parsed { matchers, warning: Some(warning) })
        }
        (Ok(utf8), Ok(matchers)) => {
            let warning = (utf8 != matchers).then(|| {
                format!("matcher {text:?} reads differently in the UTF-8 grammar; the classic reading is used")
            });
            Ok(Parsed { matchers, warning })
        }
    }
}

fn build(name: &str, op: MatchOp, value: &str) -> Result<Matcher, MatcherError> {
    Matcher::new(name, op, value).map_err(MatcherError::Pattern)
}
