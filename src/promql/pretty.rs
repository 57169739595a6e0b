//! Layout: a long expression over several lines, as `promtool promql format` and `/api/v1/format_query` lay it out.
//! In: [`Expr`]. Out: text that parses to the same expression.
//! Never: breaks what fits in a line.
//! Start at [`Expr::pretty`].

use super::ast::Expr;
use super::print::{print_aggregate_head, print_operator, subquery_suffix};

/// What is longer is broken.
const LINE_CHARS_MAX: usize = 100;

fn indent(level: usize) -> String {
    "  ".repeat(level)
}

impl Expr {
    /// The expression's text, long parts of it broken into indented lines.
    pub fn pretty(&self) -> String {
        self.laid_out(0)
    }

    fn laid_out(&self, level: usize) -> String {
        let (pad, text) = (indent(level), self.to_string());
        if let Self::Negate(inner, _) | Self::Plus(inner, _) = self {
            let sign = if matches!(self, Self::Plus(..)) { '+' } else { '-' };
            return format!("{pad}{sign}{}", inner.laid_out(level).trim());
        }
        if text.len() <= LINE_CHARS_MAX {
            // A sub-query that fits in a line is not indented by Prometheus either.
            return if matches!(self, Self::Subquery(_)) { text } else { pad + &text };
        }
        let mut out = String::new();
        // Writing to a String cannot fail.
        match self {
            Self::Aggregate(a) => {
                let _ = print_aggregate_head(a, &mut out);
                let param = a.param.as_ref().map_or(String::new(), |p| p.laid_out(level + 1) + ",\n");
                format!("{pad}{out}(\n{param}{}\n{pad})", a.expr.laid_out(level + 1))
            }
            Self::Binary(b) => {
                let _ = print_operator(b, &mut out);
                format!("{}\n{pad}{out}\n{}", b.left.laid_out(level + 1), b.right.laid_out(level + 1))
            }
            Self::Call(call) => {
                let args: Vec<String> = call.args.iter().map(|arg| arg.laid_out(level + 1)).collect();
                format!("{pad}{}(\n{}\n{pad})", call.function.name, args.join(",\n"))
            }
            Self::Paren(inner, _) => format!("{pad}(\n{}\n{pad})", inner.laid_out(level + 1)),
            Self::Subquery(s) => {
                let _ = subquery_suffix(s, &mut out);
                s.expr.laid_out(level) + &out
            }
            _ => pad + &text,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::promql::parse;

    #[test]
    fn long_expressions_are_broken() {
        let check = |text: &str, expected: &str| {
            let expr = parse(text).unwrap();
            assert_eq!(expr.pretty(), expected);
            assert_eq!(parse(expected).unwrap().to_string(), expr.to_string());
        };
        check("sum (a)  / b", "sum(a) / b");
        let long = "a_rather_long_name_of_a_metric_with_many_words_in_it";
        check(
            &format!("sum by (x) (rate({long}[5m])) / -on(x) group_left topk(5, max_over_time({long}[1h:1m]))")
                .replace("/ -on", "/ on"),
            &format!(
                "  sum by (x) (rate({long}[5m]))\n/ on (x) group_left ()\n  topk(5, max_over_time({long}[1h:1m]))"
            ),
        );
        check(
            &format!("sum({long}{{a=\"b\"}} + {long}{{c=\"d\"}})"),
            &format!("sum(\n    {long}{{a=\"b\"}}\n  +\n    {long}{{c=\"d\"}}\n)"),
        );
    }
}
