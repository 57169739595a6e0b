//! Metrics as text: OpenMetrics for who accepts it, the older Prometheus text for who does not.
//! In: the encoder's OpenMetrics text and an `Accept` header. Out: a body and its content type.
//! Never: changes a value.
//! Start at [`Exposition::for_accept`].

/// Content type of OpenMetrics 1.0.
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// Content type of the Prometheus text format.
pub const PLAIN_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    OpenMetrics,
    Plain,
}

impl Exposition {
    /// OpenMetrics only for those who name it with a weight above zero; a browser and `curl` get the plain text.
    pub fn for_accept(accept: &str) -> Self {
        let named = accept.split(',').any(|range| {
            let mut parts = range.split(';').map(str::trim);
            let is_it = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/openmetrics-text"));
            let refused = parts.any(|p| p.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)));
            is_it && !refused
        });
        if named { Self::OpenMetrics } else { Self::Plain }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => OPENMETRICS_TYPE,
            Self::Plain => PLAIN_TYPE,
        }
    }

    pub(super) fn write(self, openmetrics: String) -> String {
        match self {
            Self::OpenMetrics => openmetrics,
            Self::Plain => plain(&openmetrics),
        }
    }
}

/// The older format names a counter with its `_total`, knows neither `info` nor `unknown`, and has no end mark.
fn plain(openmetrics: &str) -> String {
    let mut out = String::with_capacity(openmetrics.len());
    // HELP comes before TYPE, and its name depends on the type.
    let mut help: Option<&str> = None;
    for line in openmetrics.lines() {
        if let Some(text) = line.strip_prefix("# HELP ") {
            help = Some(text);
        } else if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|text| text.split_once(' ')) {
            let (suffix, kind) = match kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                "unknown" => ("", "untyped"),
                other => ("", other),
            };
            if let Some(text) = help.take().and_then(|h| h.strip_prefix(name)) {
                out.extend(["# HELP ", name, suffix, text, "\n"]);
            }
            out.extend(["# TYPE ", name, suffix, " ", kind, "\n"]);
        } else if !line.starts_with('#') {
            out.push_str(line);
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_ask() {
        let check = |accept, expected| assert_eq!(Exposition::for_accept(accept), expected, "{accept}");
        check("", Exposition::Plain);
        check("text/html,*/*;q=0.8", Exposition::Plain);
        check("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4", Exposition::OpenMetrics);
        check("application/openmetrics-text; q=0, text/plain", Exposition::Plain);
    }

    #[test]
    fn plain_text_has_the_older_names() {
        let openmetrics = "# HELP a Things.\n# TYPE a counter\na_total{x=\"1\"} 2\n# HELP b Level.\n# TYPE b gauge\nb 1\n\
                           # TYPE c info\n# UNIT d seconds\nc_info{v=\"1\"} 1\n# EOF\n";
        let expected = "# HELP a_total Things.\n# TYPE a_total counter\na_total{x=\"1\"} 2\n# HELP b Level.\n\
                        # TYPE b gauge\nb 1\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n";
        assert_eq!(plain(openmetrics), expected);
    }
}
