//! HTML mode: follows the markup and escapes each value for the place where it lands.
//! In: literal markup and values. Out: text that cannot leave its place.
//! Never: trusts a value because of what it says; only `safeHtml` and `safeUrl` values are trusted, each in its place.
//! Start at [`Html::escape`].

use super::text::{html_escape, js_escape, percent_encode, push};
use super::value::{SafeKind, Value};

/// What Go writes where a value would be dangerous.
const REFUSED: &str = "ZgotmplZ";

#[derive(Clone, Debug, Default, PartialEq)]
enum HtmlContext {
    #[default]
    Text,
    /// Inside `<name …`, between attributes.
    Tag,
    /// After `name=`, before a quote.
    BeforeValue,
    /// In an attribute's value; the quote is `None` when unquoted.
    Value(Option<char>),
    Comment,
    /// In script or style, up to its end tag.
    Raw,
}

/// The state of the markup written so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Html {
    place: HtmlContext,
    element: String,
    attribute: String,
    /// The attribute's value so far, to know a URL's start from its middle.
    value: String,
}

impl Html {
    /// Follows literal markup.
    pub(super) fn feed(&mut self, text: &str) {
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            let mut used = c.len_utf8();
            match self.place {
                HtmlContext::Text => used = self.in_text(rest, used),
                HtmlContext::Comment => match rest.find("-->") {
                    Some(i) => {
                        self.place = HtmlContext::Text;
                        used = i + 3;
                    }
                    None => used = rest.len(),
                },
                HtmlContext::Raw => {
                    let close = format!("</{}", self.element);
                    match rest.to_ascii_lowercase().find(&close) {
                        Some(i) => {
                            self.place = HtmlContext::Tag;
                            used = i + close.len();
                            self.element.insert(0, '/');
                        }
                        None => used = rest.len(),
                    }
                }
                HtmlContext::Tag => self.in_tag(c),
                HtmlContext::BeforeValue => self.before_value(c),
                HtmlContext::Value(quote) => {
                    let ends = quote.map_or(c.is_whitespace() || c == '>', |q| c == q);
                    if ends {
                        self.place = if quote.is_none() && c == '>' { self.after_tag() } else { HtmlContext::Tag };
                        self.attribute.clear();
                    } else {
                        self.value.push(c);
                    }
                }
            }
            rest = &rest[used..];
        }
    }

    fn in_text(&mut self, rest: &str, used: usize) -> usize {
        if rest.starts_with("<!--") {
            self.place = HtmlContext::Comment;
            return 4;
        }
        let Some(tag) = rest.strip_prefix('<') else { return used };
        let name: String = tag.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '/').collect();
        if name.is_empty() {
            return used;
        }
        self.element = name.to_ascii_lowercase();
        self.attribute.clear();
        self.place = HtmlContext::Tag;
        1 + name.len()
    }

    fn in_tag(&mut self, c: char) {
        match c {
            '>' => self.place = self.after_tag(),
            '=' => {
                self.place = HtmlContext::BeforeValue;
                self.value.clear();
            }
            c if c.is_whitespace() || c == '/' => {
                // A space before `=` still belongs to the name before it.
                if !self.attribute.ends_with(' ') {
                    self.attribute.push(' ');
                }
            }
            c => {
                if self.attribute.ends_with(' ') {
                    self.attribute.clear();
                }
                self.attribute.push(c.to_ascii_lowercase());
            }
        }
    }

    fn before_value(&mut self, c: char) {
        match c {
            '"' | '\'' => self.place = HtmlContext::Value(Some(c)),
            '>' => self.place = self.after_tag(),
            c if c.is_whitespace() => {}
            c => {
                self.place = HtmlContext::Value(None);
                self.value.push(c);
            }
        }
    }

    fn after_tag(&self) -> HtmlContext {
        if matches!(self.element.as_str(), "script" | "style") { HtmlContext::Raw } else { HtmlContext::Text }
    }

    /// The value's text for this place.
    pub(super) fn escape(&mut self, value: &Value) -> String {
        let text = if matches!(value, Value::Nil) { String::new() } else { value.print() };
        let safe = |kind| matches!(value, Value::Safe(k, _) if *k == kind);
        match self.place.clone() {
            HtmlContext::Text if safe(SafeKind::Html) => {
                self.feed(&text);
                text
            }
            HtmlContext::Text => escape_text(&text),
            HtmlContext::Comment => String::new(),
            HtmlContext::Raw if self.element == "style" => REFUSED.to_owned(),
            HtmlContext::Raw => match value {
                Value::Int(_) | Value::Float(_) | Value::Bool(_) => format!(" {text} "),
                _ => format!("\"{}\"", js_escape(&text)),
            },
            HtmlContext::Tag => {
                let plain = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
                let handler = text.to_ascii_lowercase().starts_with("on");
                if plain && !handler { text } else { REFUSED.to_owned() }
            }
            HtmlContext::BeforeValue => {
                self.place = HtmlContext::Value(None);
                self.attribute_value(&text, safe(SafeKind::Url), true)
            }
            HtmlContext::Value(quote) => self.attribute_value(&text, safe(SafeKind::Url), quote.is_none()),
        }
    }

    fn attribute_value(&mut self, text: &str, safe_url: bool, unquoted: bool) -> String {
        let name = self.attribute.trim_end().to_owned();
        let escaped = if name.starts_with("on") {
            html_escape(&format!("\"{}\"", js_escape(text)))
        } else if name == "style" {
            // A value in CSS may be a number or a word; anything else could end the declaration.
            let plain = text.chars().all(|c| c.is_ascii_alphanumeric() || "#-.% ".contains(c));
            if plain { text.to_owned() } else { REFUSED.to_owned() }
        } else if is_url(&name) {
            self.url(text, safe_url)
        } else {
            escape_text(text)
        };
        self.value.push_str(text);
        if unquoted { escaped.replace([' ', '\t', '\n', '\r'], "&#32;").replace(['`', '='], "&#96;") } else { escaped }
    }

    fn url(&self, text: &str, safe: bool) -> String {
        if self.value.contains(['?', '#']) && !safe {
            return percent_encode(text, false);
        }
        if self.value.is_empty() && !safe && !has_harmless_scheme(text) {
            return format!("#{REFUSED}");
        }
        escape_text(&normalize(text))
    }
}

fn escape_text(text: &str) -> String {
    // html/template also writes the plus sign as an entity, against UTF-7 guessing.
    html_escape(text).replace('+', "&#43;")
}

fn is_url(attribute: &str) -> bool {
    matches!(
        attribute,
        "href"
            | "src"
            | "action"
            | "formaction"
            | "cite"
            | "background"
            | "poster"
            | "data"
            | "longdesc"
            | "manifest"
            | "profile"
            | "usemap"
            | "xlink:href"
            | "srcset"
    )
}

fn has_harmless_scheme(text: &str) -> bool {
    match text.split_once(':') {
        Some((scheme, _)) if !scheme.contains('/') => {
            ["http", "https", "mailto"].iter().any(|s| scheme.eq_ignore_ascii_case(s))
        }
        _ => true,
    }
}

/// Encodes what may not stand in a URL and leaves what already is encoded.
fn normalize(url: &str) -> String {
    let mut out = String::with_capacity(url.len());
    for b in url.bytes() {
        match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(b as char),
            b if b"-_.~!#$&*+,/:;=?@[]%".contains(&b) => out.push(b as char),
            b => push(&mut out, format_args!("%{b:02x}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use crate::template::{FuncMap, Mode, TemplateSet, Value, alertmanager};

    fn check(template: &str, data: &str, expect: &str) {
        let set = TemplateSet::new(alertmanager::FUNCS, Mode::Html);
        let data = Value::from(data);
        assert_eq!(set.parse("t", template).unwrap().execute(&data).unwrap(), expect, "{template}");
    }

    #[test]
    fn escapes_for_the_place() {
        check("<b>{{.}}</b>", "<i>&'\"+", "<b>&lt;i&gt;&amp;&#39;&#34;&#43;</b>");
        check("<a href=\"{{.}}\">x</a>", "javascript:alert(1)", "<a href=\"#ZgotmplZ\">x</a>");
        check("<a href=\"{{.}}\">x</a>", "https://x/?a=1&b=<2>", "<a href=\"https://x/?a=1&amp;b=%3c2%3e\">x</a>");
        check("<a href=\"/s?q={{.}}\">x</a>", "a b&c", "<a href=\"/s?q=a%20b%26c\">x</a>");
        check("<p title='{{.}}'>", "it's", "<p title='it&#39;s'>");
        check(
            "<script>var x = {{.}};</script>{{.}}",
            "</script>",
            "<script>var x = \"\\u003C/script\\u003E\";</script>&lt;/script&gt;",
        );
        check("<div style=\"color: {{.}}\">", "red", "<div style=\"color: red\">");
        check("<div style=\"color: {{.}}\">", "red;x:y(1)", "<div style=\"color: ZgotmplZ\">");
        check("<!-- {{.}} -->{{. | safeHtml}}", "<b>", "<!--  --><b>");
        let none = TemplateSet::new(FuncMap::BUILTINS, Mode::Html).parse("t", "a{{ .x }}b").unwrap();
        assert_eq!(none.execute(&Value::Nil).unwrap(), "ab");
    }
}
