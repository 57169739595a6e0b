//! `JUnit` XML: the results of unit tests for a build server, in the shape in which promtool writes them.
//! In: suites, one a file. Out: the text.
//! Never: writes a character that XML forbids.
//! Start at [`xml`].

use crate::model::Timestamp;
use std::fmt::Write;

/// The tests of one file.
pub struct Suite {
    name: String,
    started: Timestamp,
    pub cases: Vec<Case>,
    /// Why the file could not be run.
    pub error: Option<String>,
}

/// One test; it passed when there is no failure.
pub struct Case {
    pub name: String,
    pub failures: Vec<String>,
}

impl Suite {
    pub fn new(name: &str, started: Timestamp) -> Self {
        Self { name: name.to_owned(), started, cases: Vec::new(), error: None }
    }

    pub fn failed(&self) -> bool {
        self.error.is_some() || self.cases.iter().any(|case| !case.failures.is_empty())
    }
}

/// All suites as one document.
pub fn xml(suites: &[Suite]) -> String {
    let mut out = String::from("<testsuites>");
    for suite in suites {
        let failures: usize = suite.cases.iter().map(|case| case.failures.len()).sum();
        let (tests, errors) =
            (suite.cases.len() + usize::from(suite.error.is_some()), usize::from(suite.error.is_some()));
        // Without fractions and zone.
        let started: String = suite.started.to_rfc3339().chars().take("2006-01-02T15:04:05".len()).collect();
        let (name, open) = (text(&suite.name), "<testsuite name=");
        let _ =
            write!(out, "{open}\"{name}\" tests=\"{tests}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"0\"");
        let _ = write!(out, " timestamp=\"{started}\">");
        for case in &suite.cases {
            let _ = write!(out, "<testcase name=\"{}\">", text(&case.name));
            for failure in &case.failures {
                let _ = write!(out, "<failure>{}</failure>", text(failure));
            }
            out += "</testcase>";
        }
        if let Some(error) = &suite.error {
            let _ = write!(out, "<testcase name=\"unknown\"><error>{}</error></testcase>", text(error));
        }
        out += "</testsuite>";
    }
    out + "</testsuites>\n"
}

/// Text as XML has it, in an attribute too.
fn text(plain: &str) -> String {
    let mut out = String::with_capacity(plain.len());
    for c in plain.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&#34;",
            '\n' => out += "&#xA;",
            '\t' => out += "&#x9;",
            '\r' => out += "&#xD;",
            c if c < ' ' || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_written_as_promtool_writes_them() {
        let mut good = Suite::new("a.yml", Timestamp::from_millis(1_700_000_000_123));
        good.cases.push(Case { name: "fine".to_owned(), failures: Vec::new() });
        good.cases.push(Case { name: "x < \"y\"".to_owned(), failures: vec!["exp: 1\ngot: \u{1}".to_owned()] });
        let mut broken = Suite::new("b.yml", Timestamp::EPOCH);
        broken.error = Some("no & file".to_owned());
        assert!(good.failed() && broken.failed() && !Suite::new("c", Timestamp::EPOCH).failed());
        let expected = "<testsuites>\
<testsuite name=\"a.yml\" tests=\"2\" failures=\"1\" errors=\"0\" skipped=\"0\" timestamp=\"2023-11-14T22:13:20\">\
<testcase name=\"fine\"></testcase>\
<testcase name=\"x &lt; &#34;y&#34;\"><failure>exp: 1&#xA;got: \u{fffd}</failure></testcase></testsuite>\
<testsuite name=\"b.yml\" tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" timestamp=\"1970-01-01T00:00:00\">\
<testcase name=\"unknown\"><error>no &amp; file</error></testcase></testsuite></testsuites>\n";
        assert_eq!(xml(&[good, broken]), expected);
    }
}
