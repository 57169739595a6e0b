//! The parser's own table: what is read, how it prints, what is refused and where.
//! In: texts. Out: a verdict.
//! Never: looks at values.
//! Start at the tests; the public tables are in `tests/it/promql/tables.rs`.

use super::{Features, parse, parse_with};

fn check(text: &str, printed: &str) {
    let expr = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
    assert_eq!(expr.to_string(), printed, "{text}");
    assert_eq!(parse(printed).unwrap().to_string(), printed, "{text}: does not go round");
}

#[test]
fn prints_canonically() {
    for (text, printed) in [
        ("sum  by()(a)", "sum(a)"),
        ("sum without() (a{x='1'})", r#"sum without () (a{x="1"})"#),
        ("topk(5,a) by (x, \"a b\",)", "topk by (x, \"a b\") (5, a)"),
        ("a - ignoring() group_left(m) c", "a - ignoring () group_left (m) c"),
        ("a==bool on(b)c", "a == bool on (b) c"),
        ("a{c=\"1\",b!=\"2\"}", "a{b!=\"2\",c=\"1\"}"),
        (r#"{"a.b", c=~`\d+`}[5m] offset -7m"#, r#"{__name__="a.b",c=~"\\d+"}[5m] offset -7m"#),
        ("rate(a[1h:5m]@10 offset 1m)", "rate(a[1h:5m] @ 10.000 offset 1m)"),
        ("a offset 1m @ end()", "a @ end() offset 1m"),
        ("-a * (1_000 + 2)", "-a * (1000 + 2)"),
        ("a @ end() > 1m", "a @ end() > 1m"),
        ("1e3 + .5 # comment\n+ 0x1F + 017 + 089 - -Inf", "1000 + 0.5 + 31 + 15 + 89 - -Inf"),
        ("a[300:0.5] offset --60", "a[5m:500ms] offset 1m"),
        ("a{b=~\"\\\\Qx.y\\\\E\"}", r#"a{b=~"\\Qx.y\\E"}"#),
        (r#"a{b='x\'y', "d"="\x41\101\u00e9\xff"}"#, r#"a{b="x'y",d="AAé\xff"}"#),
        ("+a ^ -b * c", "+a ^ -b * c"),
        ("sum{by=\"x\"} + by", "sum{by=\"x\"} + by"),
        ("a + fill", "a + fill"),
        ("a + on(x) fill_left(1) fill_right(-2) b", "a + on (x) fill_left (1) fill_right (-2) b"),
        ("end() - start() + step() * range()", "end() - start() + step() * range()"),
        ("a[min_of(step() % 7, 1h)] anchored @ 5", "a[min_of(step() % 7, 1h)] anchored @ 5.000"),
        ("(a[5m:-(step())+1m] offset (range()/2))", "(a[5m:-(step()) + 1m] offset (range() / 2))"),
        ("1 + on() 2", "1 + 2"),
    ] {
        check(text, printed);
    }
}

#[test]
fn refuses_as_prometheus_does() {
    for (text, message) in [
        ("", "unknown position: parse error: no expression found in input"),
        (" # only a comment", "1:1: parse error: no expression found in input"),
        ("1 == 1", "1:3: parse error: comparisons between scalars must use BOOL modifier"),
        ("1 and foo", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"),
        ("foo == on(bar) 10", "1:1: parse error: vector matching only allowed between instant vectors"),
        ("foo\n + bool 10", "2:2: parse error: bool modifier can only be used on comparison operators"),
        ("a + {x=\"\"}", "1:5: parse error: vector selector must contain at least one non-empty matcher"),
        ("foo{__name__=\"bar\"}", "1:1: parse error: metric name must not be set twice: \"foo\" or \"bar\""),
        ("floor()", "1:1: parse error: expected 1 argument(s) in call to \"floor\", got 0"),
        ("sum((a b))", "1:8: parse error: unexpected identifier \"b\" in aggregation"),
        ("nonsense_function(a)", "1:1: parse error: unknown function with name \"nonsense_function\""),
        ("a[0s]", "1:3: parse error: duration must be greater than 0"),
        ("a[:5m]", "1:4: parse error: unexpected colon before duration in duration expression"),
        ("a[5m:3 4]", "1:8: parse error: unexpected number \"4\" in subquery selector, expected \"]\""),
        ("a[,]", "1:3: parse error: unexpected character in duration expression: ','"),
        (
            "a[(5m 3)]",
            "1:7: parse error: unexpected number \"3\" in subquery selector, expected number, duration, step(), or range()",
        ),
        ("-1 @ NaN", "1:2: parse error: timestamp out of bounds for @ modifier: NaN"),
        ("1__0", "1:1: parse error: bad number or duration syntax: \"1__\""),
        ("1e400", "1:1: parse error: error parsing number: strconv.ParseFloat: parsing \"1e400\": value out of range"),
        ("((1)", "1:5: parse error: unclosed left parenthesis"),
        ("1)", "1:3: parse error: unexpected right parenthesis ')'"),
        ("a{b='c\n'}", "1:5: parse error: unterminated quoted string"),
        (
            "a{b=\"1\" or c=\"2\"}",
            "1:9: parse error: unexpected identifier \"or\" in label matching, expected \",\" or \"}\"",
        ),
        ("foo[step()/0d]", "1:11: parse error: division by zero"),
        ("topk(1,)", "1:7: parse error: trailing commas not allowed in function call args"),
        ("a 123456789012345", "1:3: parse error: unexpected number \"1234567890\"..."),
        ("a @ Inf", "1:1: parse error: timestamp out of bounds for @ modifier: +Inf"),
    ] {
        let error = parse(text).expect_err(text).to_string();
        assert_eq!(error, message, "{text}");
    }
}

#[test]
fn what_is_experimental_has_a_switch_of_its_own() {
    let functions = Features { experimental_functions: true, ..Features::default() };
    let ranges = Features { extended_range_selectors: true, ..Features::default() };
    let fills = Features { fill_modifiers: true, ..Features::default() };
    for (text, switch, message) in [
        ("sum(info(a))", functions, "1:5: parse error: function \"info\" is not enabled"),
        ("step() + 1", functions, "1:1: parse error: function \"step\" is not enabled"),
        ("1 + max_of(1, 2)", functions, "1:5: parse error: function \"max_of\" is not enabled"),
        ("mad_over_time(a[5m])", functions, "1:1: parse error: function \"mad_over_time\" is not enabled"),
        (
            "b or limitk(2, a)",
            functions,
            "1:6: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        (
            "limit_ratio by (x) (0.5, a)",
            functions,
            "1:1: parse error: limit_ratio() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        ("rate(a[5m] anchored)", ranges, "1:6: parse error: anchored modifier is experimental and not enabled"),
        ("a smoothed", ranges, "1:1: parse error: smoothed modifier is experimental and not enabled"),
        ("1 + (a * fill(0) b)", fills, "1:6: parse error: binop fill modifiers are experimental and not enabled"),
        ("a - on (x) fill_left(1) b", fills, "1:1: parse error: binop fill modifiers are experimental and not enabled"),
    ] {
        let stable = parse_with(text, Features::default()).expect_err(text).to_string();
        assert_eq!(stable, message, "{text}");
        assert!(parse_with(text, switch).is_ok(), "{text}");
        for other in [functions, ranges, fills].into_iter().filter(|other| *other != switch) {
            assert_eq!(parse_with(text, other).expect_err(text).to_string(), message, "{text}");
        }
    }
    // Stable since Prometheus 3.14; the words are names of metrics where they are no modifiers.
    for text in ["a[step() + 1m]", "a offset -range()", "a[max_of(1m, 2m)]", "limitk + fill", "info{smoothed=\"x\"}"] {
        assert!(parse_with(text, Features::default()).is_ok(), "{text}");
    }
}

#[test]
fn giants_are_refused() {
    for text in [
        "(".repeat(65) + "1" + &")".repeat(65),
        "1".to_owned() + &"+1".repeat(5000),
        "-".repeat(5000) + "1",
        "a".repeat(super::error::EXPR_MAX_BYTES + 1),
        "a".to_owned() + &"[1m:]".repeat(300),
        "a[".to_owned() + &"(".repeat(100) + "1m]",
        "a{b=~\"(x{1000}){1000}\"}".to_owned(),
    ] {
        assert!(parse(&text).is_err());
    }
}
