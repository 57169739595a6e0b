//! Expressions for the differential test: any that the language allows, over the series of one world.
//! In: draws of proptest. Out: questions for the query API.
//! Never: asks for what two right answers may differ in: ties, hashes, an order that nothing determines.
//! Start at [`question`].

use super::differential::draw;
use proptest::test_runner::TestRunner;

/// One request to the query API.
pub enum Question {
    Instant { expr: String, time_ms: i64 },
    Range { expr: String, start_ms: i64, end_ms: i64, step_ms: i64 },
}

fn seconds(ms: i64) -> String {
    format!("{}", ms as f64 / 1000.0)
}

impl Question {
    /// The path, and the form to be posted.
    pub fn request(&self) -> (&'static str, Vec<(&'static str, String)>) {
        match self {
            Self::Instant { expr, time_ms } => {
                ("/api/v1/query", vec![("query", expr.clone()), ("time", seconds(*time_ms))])
            }
            Self::Range { expr, start_ms, end_ms, step_ms } => (
                "/api/v1/query_range",
                vec![
                    ("query", expr.clone()),
                    ("start", seconds(*start_ms)),
                    ("end", seconds(*end_ms)),
                    ("step", seconds(*step_ms)),
                ],
            ),
        }
    }
}

pub fn question(runner: &mut TestRunner, world: usize, now_ms: i64, span_ms: i64) -> Question {
    let mut make = Maker { runner, world, now_ms, span_ms };
    let time_ms = now_ms - make.below(span_ms as usize + 60_000) as i64;
    if make.below(5) < 3 {
        let depth = make.below(4);
        let expr = match make.below(12) {
            0 => make.scalar(2),
            1 => make.ranged(),
            _ => make.vector(depth),
        };
        return Question::Instant { expr, time_ms };
    }
    let depth = make.below(4);
    let expr = make.vector(depth);
    let step_ms = *make.one(&[5_000, 15_000, 37_000, 60_000]);
    let end_ms = time_ms + make.below(240_000) as i64;
    Question::Range { expr, start_ms: time_ms, end_ms, step_ms }
}

struct Maker<'a> {
    runner: &'a mut TestRunner,
    world: usize,
    now_ms: i64,
    span_ms: i64,
}

const FLOATS: &[&str] = &["c_total", "g", "h_bucket"];
const RANGES: &[&str] = &["30s", "1m", "2m30s", "5m", "7m13s", "20m"];

impl Maker<'_> {
    fn below(&mut self, n: usize) -> usize {
        draw(self.runner, 0..n)
    }

    fn one<'t, T>(&mut self, all: &'t [T]) -> &'t T {
        &all[self.below(all.len())]
    }

    fn number(&mut self) -> String {
        match self.below(12) {
            0 => "0".to_owned(),
            1 => "-1".to_owned(),
            2 => "NaN".to_owned(),
            3 => "Inf".to_owned(),
            4 => "1m".to_owned(),
            5 => "0x1F".to_owned(),
            n if n < 9 => format!("{}", draw(self.runner, 0..100u32)),
            _ => format!("{:.3}", draw(self.runner, -50.0..50.0f64)),
        }
    }

    fn matchers(&mut self) -> String {
        let mut out = format!("world=\"{}\"", self.world);
        if self.below(3) == 0 {
            out += *self.one(&[
                ",job=\"a\"",
                ",job=~\"a|c\"",
                ",instance!=\"2\"",
                ",instance!~\"[12]\"",
                ",mode=\"\"",
                ",nothing!=\"x\"",
                ",le=~\".+\"",
            ]);
        }
        out
    }

    fn named(&mut self, names: &[&str]) -> String {
        let (name, matchers) = (*self.one(names), self.matchers());
        if self.below(10) == 0 { format!("{{\"{name}\",{matchers}}}") } else { format!("{name}{{{matchers}}}") }
    }

    fn suffix(&mut self) -> String {
        let at = self.now_ms - self.below(self.span_ms as usize) as i64;
        match self.below(14) {
            0 => format!(" @ {}", seconds(at)),
            1 => " @ end()".to_owned(),
            2 => " @ start() offset 1m".to_owned(),
            3 => " offset -45s".to_owned(),
            4 => " offset 2m30s".to_owned(),
            _ => String::new(),
        }
    }

    fn selector(&mut self, names: &[&str]) -> String {
        self.named(names) + &self.suffix()
    }

    fn range_of(&mut self, names: &[&str]) -> String {
        let (named, range) = (self.named(names), *self.one(RANGES));
        format!("{named}[{range}]{}", self.suffix())
    }

    /// A range vector of any kind of series.
    fn ranged(&mut self) -> String {
        match self.below(6) {
            0 => {
                let (inner, range) = (self.vector(1), *self.one(RANGES));
                let step = *self.one(&["", "30s", "1m", "17s"]);
                format!("({inner})[{range}:{step}]{}", self.suffix())
            }
            1 => self.range_of(&["n", "custom"]),
            2 => self.range_of(&["g"]),
            _ => self.range_of(&["c_total", "g", "h_bucket", "n", "custom"]),
        }
    }

    fn scalar(&mut self, depth: usize) -> String {
        match self.below(6) {
            0 if depth > 0 => format!("scalar({})", self.vector(depth - 1)),
            1 => "time()".to_owned(),
            2 => "pi()".to_owned(),
            3 if depth > 0 => {
                let op = *self.one(&["+", "-", "*", "/", "%", "^", "== bool", "> bool", "atan2"]);
                let (left, right) = (self.scalar(depth - 1), self.scalar(depth - 1));
                // Go's powers differ from the C library's in the last bit; a remainder would make that large.
                let op = if op == "%" && left.contains('^') { "/" } else { op };
                format!("({left} {op} {right})")
            }
            _ => self.number(),
        }
    }

    fn vector(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.below(8) {
                0 => format!("vector({})", self.scalar(0)),
                1 => self.selector(&["n", "custom"]),
                _ => self.selector(FLOATS),
            };
        }
        match self.below(12) {
            0 | 1 => self.over_range(),
            2 | 3 => self.aggregation(depth - 1),
            4 | 5 => self.binary(depth - 1),
            6 => self.with_scalar(depth - 1),
            7 | 8 => self.function(depth - 1),
            9 => self.histogram(depth - 1),
            10 => format!("-({})", self.vector(depth - 1)),
            _ => self.vector(0),
        }
    }

    fn over_range(&mut self) -> String {
        let range = self.ranged();
        match self.below(10) {
            0 => format!("quantile_over_time({}, {range})", self.number()),
            1 => format!("predict_linear({range}, {})", self.number()),
            2 => format!("double_exponential_smoothing({range}, 0.3, 0.6)"),
            3 => format!("absent_over_time({range})"),
            _ => {
                let function = *self.one(&[
                    "rate",
                    "rate",
                    "increase",
                    "delta",
                    "irate",
                    "idelta",
                    "changes",
                    "resets",
                    "deriv",
                    "sum_over_time",
                    "avg_over_time",
                    "min_over_time",
                    "max_over_time",
                    "count_over_time",
                    "last_over_time",
                    "present_over_time",
                    "stddev_over_time",
                    "stdvar_over_time",
                ]);
                // The same reason as in the world's histograms.
                let is_extrapolated = ["rate", "increase"].contains(&function);
                let function = if is_extrapolated && range.contains("custom") { "delta" } else { function };
                // Over a sub-query the peer brings a dropped name back.
                let is_subquery = range.starts_with('(');
                let function = if is_subquery && function == "last_over_time" { "max_over_time" } else { function };
                // Whether a computed number moved in its last digit is noise; by it a counter would seem to start anew.
                let is_by_steps = ["rate", "increase", "irate", "changes", "resets"].contains(&function);
                match range.rfind(")[") {
                    Some(at) if is_subquery && is_by_steps => {
                        format!("{function}((c_total{{world=\"{}\"}}{})", self.world, &range[at..])
                    }
                    _ => format!("{function}({range})"),
                }
            }
        }
    }

    fn grouping(&mut self) -> &'static str {
        self.one::<&str>(&["", " by (job)", " by (job, instance)", " without (instance)", " without (le, mode)"])
    }

    fn aggregation(&mut self, depth: usize) -> String {
        let by = self.grouping();
        if self.below(10) == 0 {
            // Counters, and zeros, have equal values, and which of them is taken is nobody's business.
            let op = *self.one(&["topk", "bottomk"]);
            return format!("{op}{by} (2, {} == {0} and {0} < 1e6 and {0} != 0)", "g{mode=\"x\"}")
                .replace("g{", &format!("g{{world=\"{}\",", self.world));
        }
        let inner = self.vector(depth);
        match self.below(10) {
            0 => format!("quantile{by} ({}, {inner})", self.number()),
            // Texts of computed numbers would be compared to the last digit.
            1 => format!("count_values{by} (\"v\", {})", self.selector(&["c_total", "g"])),
            _ => {
                let op = *self.one(&["sum", "sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]);
                format!("{op}{by} ({inner})")
            }
        }
    }

    fn binary(&mut self, depth: usize) -> String {
        let (left, right) = (self.vector(depth), self.vector(depth));
        let matching = *self.one(&[
            "",
            "",
            " on (job, instance)",
            " ignoring (mode)",
            " on (job, instance) group_left ()",
            " on (job, instance) group_right (mode)",
            " on (job) group_left (mode)",
            " ignoring (le, mode) group_left ()",
        ]);
        let op = if matching.contains("group") {
            *self.one(&["+", "-", "*", "/", ">", "<= bool", "!="])
        } else {
            *self.one(&["+", "-", "*", "/", "%", "atan2", "==", "!=", ">", "<", ">=", "<= bool", "and", "or", "unless"])
        };
        format!("({left}) {op}{matching} ({right})")
    }

    fn with_scalar(&mut self, depth: usize) -> String {
        let op = *self.one(&["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">= bool", "<="]);
        let (vector, mut scalar) = (self.vector(depth), self.scalar(1));
        if op == "^" {
            // Of numbers with ninety digits, differences are noise.
            (*self.one(&["2", "0.5", "-1", "3", "NaN"])).clone_into(&mut scalar);
        }
        if self.below(3) == 0 { format!("{scalar} {op} ({vector})") } else { format!("({vector}) {op} {scalar}") }
    }

    fn function(&mut self, depth: usize) -> String {
        let inner = self.vector(depth);
        match self.below(16) {
            0 => format!("clamp({inner}, {}, {})", self.number(), self.number()),
            1 => format!("clamp_min({inner}, {})", self.number()),
            2 => format!("round({inner}, {})", self.number()),
            3 => format!("label_replace({inner}, \"job\", \"$1-x\", \"instance\", \"([12])\")"),
            4 => format!("label_join({inner}, \"joined\", \"/\", \"job\", \"instance\")"),
            5 => format!("absent({inner})"),
            // Spreads of numbers with ten equal leading digits would be noise.
            6 => format!("(timestamp({inner}) - {})", self.now_ms / 1000),
            7 => format!("sort_desc({inner})"),
            8 => format!("vector(scalar({inner}))"),
            _ => {
                let function = *self.one(&[
                    "abs",
                    "ceil",
                    "floor",
                    "exp",
                    "sqrt",
                    "ln",
                    "log2",
                    "log10",
                    "sgn",
                    "sin",
                    "cosh",
                    "atan",
                    "deg",
                    "rad",
                    "round",
                    "minute",
                    "hour",
                    "day_of_week",
                    "day_of_month",
                    "day_of_year",
                    "days_in_month",
                    "month",
                    "year",
                ]);
                format!("{function}({inner})")
            }
        }
    }

    fn histogram(&mut self, depth: usize) -> String {
        let source = match self.below(6) {
            0 => self.vector(depth),
            1 => self.selector(&["n", "custom"]),
            2 => format!("rate({})", self.range_of(&["n"])),
            3 => format!("sum by (job) (increase({}))", self.range_of(&["n"])),
            4 => format!("sum by (job, le) (rate({}))", self.range_of(&["h_bucket"])),
            _ => self.selector(&["h_bucket"]),
        };
        match self.below(8) {
            0 => format!("histogram_count({source})"),
            1 => format!("histogram_sum({source})"),
            2 => format!("histogram_avg({source})"),
            3 => format!("histogram_stddev({source})"),
            4 => format!("histogram_stdvar({source})"),
            // Below the lowest bound the peer says NaN, what its successors do not.
            5 => format!("histogram_fraction({}, {}, {source})", self.one(&["0.2", "1", "NaN", "20"]), self.number()),
            _ => {
                let q = *self.one(&["0", "0.5", "0.9", "0.99", "1", "-1", "2", "NaN"]);
                format!("histogram_quantile({q}, {source})")
            }
        }
    }
}
