//! Text to tree: the parser crate behind our own words, and the checks of types that Prometheus makes.
//! In: an expression's text. Out: a checked [`Expr`], or [`ParseError`].
//! Never: lets a type of the crate out, or trusts its checks alone.
//! Start at [`parse`].

use super::ast::{
    Aggregate, AggregateOp, At, Binary, BinaryOp, Call, Cardinality, Expr, Matching, RangeSelector, Selector, Subquery,
    Type,
};
use super::functions::{self, Function};
use super::shim::{Shimmed, shim};
use crate::model::labels::METRIC_NAME;
use crate::model::{MatchOp, Matcher, Timestamp};
use promql_parser::label as their_label;
use promql_parser::parser as theirs;
use promql_parser::parser::token;
use std::time::{Duration, SystemTime};

/// Why a text is not an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// The text is to be mended.
    #[error("{0}")]
    Syntax(String),
    /// The text is beyond a limit of ours and is to be split.
    #[error("expression too large: {0} is limited to {1}")]
    TooLarge(&'static str, usize),
}

type Result<T> = std::result::Result<T, ParseError>;

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(ParseError::Syntax(text.into()))
}

/// Reads and checks an expression.
pub fn parse(text: &str) -> Result<Expr> {
    let shimmed = shim(text)?;
    let tree = theirs::parse(&shimmed.text).map_err(|e| ParseError::Syntax(in_our_words(&e)))?;
    let expr = Reader { shimmed: &shimmed }.expr(tree)?;
    check(&expr)?;
    Ok(expr)
}

/// Reads an instant selector alone, as `match[]` of the HTTP interface has it.
pub fn parse_selector(text: &str) -> Result<Selector> {
    match parse(text)? {
        Expr::Selector(selector) if selector.at.is_none() && selector.offset_ms == 0 => Ok(selector),
        other => refuse(format!("expected a series selector, got {}", other.value_type().as_str())),
    }
}

/// The crate says "vector" and "matrix" where Prometheus says "instant vector" and "range vector", and quotes otherwise.
fn in_our_words(text: &str) -> String {
    text.replace('\'', "\"")
        .replace("between vectors", "between instant vectors")
        .replace("got vector", "got instant vector")
        .replace("got matrix", "got range vector")
        .replace("type vector", "type instant vector")
        .replace("type matrix", "type range vector")
}

struct Reader<'a> {
    shimmed: &'a Shimmed,
}

impl Reader<'_> {
    /// Chains of operators lean to the left and may be long, so they are walked, not descended.
    fn expr(&self, tree: theirs::Expr) -> Result<Expr> {
        let (mut tree, mut chain) = (tree, Vec::new());
        while let theirs::Expr::Binary(b) = tree {
            chain.push((b.op.id(), b.modifier, *b.rhs));
            tree = *b.lhs;
        }
        let mut left = self.operand(tree)?;
        while let Some((op, modifier, right)) = chain.pop() {
            let right = self.expr(right)?;
            left = self.binary(op, modifier.unwrap_or_default(), left, right)?;
        }
        Ok(left)
    }

    fn operand(&self, tree: theirs::Expr) -> Result<Expr> {
        Ok(match tree {
            theirs::Expr::NumberLiteral(n) => Expr::Number(n.val),
            theirs::Expr::StringLiteral(s) => Expr::String(self.shimmed.restore(&s.val).into()),
            theirs::Expr::Paren(p) => Expr::Paren(Box::new(self.expr(*p.expr)?)),
            theirs::Expr::Unary(u) => self.negated(*u.expr)?,
            theirs::Expr::VectorSelector(s) => Expr::Selector(self.selector(s)?),
            theirs::Expr::MatrixSelector(m) => {
                Expr::Range(RangeSelector { selector: self.selector(m.vs)?, range: positive(m.range)? })
            }
            theirs::Expr::Subquery(s) => Expr::Subquery(Box::new(Subquery {
                expr: self.expr(*s.expr)?,
                range: positive(s.range)?,
                step: s.step.map(positive).transpose()?,
                at: s.at.map(at),
                offset_ms: offset(s.offset),
            })),
            theirs::Expr::Binary(_) => self.expr(tree)?,
            theirs::Expr::Aggregate(a) => self.aggregate(a)?,
            theirs::Expr::Call(c) => {
                let Some(function) = functions::lookup(c.func.name) else {
                    return refuse(format!("unknown function with name {:?}", c.func.name));
                };
                let args = c.args.args.into_iter().map(|arg| self.expr(*arg)).collect::<Result<_>>()?;
                Expr::Call(Call { function, args })
            }
            theirs::Expr::Extension(_) => return refuse("unknown expression"),
        })
    }

    /// Signs in a row are walked as well.
    fn negated(&self, mut tree: theirs::Expr) -> Result<Expr> {
        let mut signs = 1;
        while let theirs::Expr::Unary(u) = tree {
            signs += 1;
            tree = *u.expr;
        }
        let inner = self.expr(tree)?;
        Ok((0..signs).fold(inner, |expr, _| Expr::Negate(Box::new(expr))))
    }

    fn selector(&self, s: theirs::VectorSelector) -> Result<Selector> {
        if !s.matchers.or_matchers.is_empty() {
            return refuse("unexpected \"or\" in label matching");
        }
        let mut matchers = Vec::with_capacity(s.matchers.matchers.len());
        for m in s.matchers.matchers {
            matchers.push(self.matcher(m)?);
        }
        Ok(Selector { name: s.name.map(Into::into), matchers, at: s.at.map(at), offset_ms: offset(s.offset) })
    }

    fn matcher(&self, m: their_label::Matcher) -> Result<Matcher> {
        let op = match m.op {
            their_label::MatchOp::Equal => MatchOp::Equal,
            their_label::MatchOp::NotEqual => MatchOp::NotEqual,
            their_label::MatchOp::Re(_) => MatchOp::Regex,
            their_label::MatchOp::NotRe(_) => MatchOp::NotRegex,
        };
        let (name, value) = (self.shimmed.restore(&m.name), self.shimmed.restore(&m.value));
        Matcher::new(&name, op, &value).map_err(ParseError::Syntax)
    }

    fn names(&self, labels: &their_label::Labels) -> Vec<String> {
        labels.labels.iter().map(|name| self.shimmed.restore(name)).collect()
    }

    fn binary(&self, op: token::TokenId, written: theirs::BinModifier, left: Expr, right: Expr) -> Result<Expr> {
        let op = match op {
            token::T_ADD => BinaryOp::Add,
            token::T_SUB => BinaryOp::Sub,
            token::T_MUL => BinaryOp::Mul,
            token::T_DIV => BinaryOp::Div,
            token::T_MOD => BinaryOp::Mod,
            token::T_POW => BinaryOp::Pow,
            token::T_ATAN2 => BinaryOp::Atan2,
            token::T_EQLC => BinaryOp::Equal,
            token::T_NEQ => BinaryOp::NotEqual,
            token::T_GTR => BinaryOp::Greater,
            token::T_LSS => BinaryOp::Less,
            token::T_GTE => BinaryOp::GreaterOrEqual,
            token::T_LTE => BinaryOp::LessOrEqual,
            token::T_LAND => BinaryOp::And,
            token::T_LOR => BinaryOp::Or,
            token::T_LUNLESS => BinaryOp::Unless,
            _ => return refuse("unknown operator"),
        };
        let both_vectors = left.value_type() == Type::Vector && right.value_type() == Type::Vector;
        let (on, labels) = match &written.matching {
            Some(theirs::LabelModifier::Include(labels)) => (true, self.names(labels)),
            Some(theirs::LabelModifier::Exclude(labels)) => (false, self.names(labels)),
            None => (false, Vec::new()),
        };
        if !both_vectors && (on || !labels.is_empty()) {
            return refuse("vector matching only allowed between instant vectors");
        }
        let grouped = matches!(
            written.card,
            theirs::VectorMatchCardinality::ManyToOne(_) | theirs::VectorMatchCardinality::OneToMany(_)
        );
        if op.is_set() && grouped {
            return refuse(format!("no grouping allowed for {:?} operation", op.as_str()));
        }
        let (card, include) = match &written.card {
            _ if op.is_set() => (Cardinality::ManyToMany, Vec::new()),
            theirs::VectorMatchCardinality::ManyToOne(labels) => (Cardinality::ManyToOne, self.names(labels)),
            theirs::VectorMatchCardinality::OneToMany(labels) => (Cardinality::OneToMany, self.names(labels)),
            _ => (Cardinality::OneToOne, Vec::new()),
        };
        let (fill_left, fill_right) = (written.fill_values.lhs, written.fill_values.rhs);
        let matching = both_vectors.then_some(Matching { on, labels, card, include, fill_left, fill_right });
        if (fill_left.is_some() || fill_right.is_some()) && (matching.is_none() || op.is_set()) {
            return refuse("filling in missing series only allowed between instant vectors");
        }
        Ok(Expr::Binary(Box::new(Binary { op, left, right, return_bool: written.return_bool, matching })))
    }

    fn aggregate(&self, a: theirs::AggregateExpr) -> Result<Expr> {
        let op = match a.op.id() {
            token::T_SUM => AggregateOp::Sum,
            token::T_AVG => AggregateOp::Avg,
            token::T_COUNT => AggregateOp::Count,
            token::T_MIN => AggregateOp::Min,
            token::T_MAX => AggregateOp::Max,
            token::T_GROUP => AggregateOp::Group,
            token::T_STDDEV => AggregateOp::Stddev,
            token::T_STDVAR => AggregateOp::Stdvar,
            token::T_TOPK => AggregateOp::Topk,
            token::T_BOTTOMK => AggregateOp::Bottomk,
            token::T_COUNT_VALUES => AggregateOp::CountValues,
            token::T_QUANTILE => AggregateOp::Quantile,
            token::T_LIMITK => AggregateOp::Limitk,
            token::T_LIMIT_RATIO => AggregateOp::LimitRatio,
            _ => return refuse(format!("unknown aggregation {}", a.op)),
        };
        let (without, grouping) = match &a.modifier {
            Some(theirs::LabelModifier::Include(labels)) => (false, self.names(labels)),
            Some(theirs::LabelModifier::Exclude(labels)) => (true, self.names(labels)),
            None => (false, Vec::new()),
        };
        let param = a.param.map(|p| self.expr(*p)).transpose()?;
        Ok(Expr::Aggregate(Box::new(Aggregate { op, expr: self.expr(*a.expr)?, param, without, grouping })))
    }
}

fn positive(range: Duration) -> Result<Duration> {
    if range.is_zero() { refuse("duration must be greater than 0") } else { Ok(range) }
}

fn at(at: theirs::AtModifier) -> At {
    match at {
        theirs::AtModifier::Start => At::Start,
        theirs::AtModifier::End => At::End,
        theirs::AtModifier::At(time) => {
            At::Time(Timestamp::from_millis(match time.duration_since(SystemTime::UNIX_EPOCH) {
                Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX / 4),
                Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX / 4),
            }))
        }
    }
}

fn offset(offset: Option<theirs::Offset>) -> i64 {
    let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX / 4);
    match offset {
        Some(theirs::Offset::Pos(d)) => ms(d),
        Some(theirs::Offset::Neg(d)) => -ms(d),
        None => 0,
    }
}

/// Prometheus' `checkAST`, from the leaves up.
fn check(expr: &Expr) -> Result<()> {
    match expr {
        Expr::Number(_) | Expr::String(_) => Ok(()),
        Expr::Selector(s) => check_selector(s),
        Expr::Range(r) => check_selector(&r.selector),
        Expr::Subquery(s) => {
            check(&s.expr)?;
            match s.expr.value_type() {
                Type::Vector => Ok(()),
                other => refuse(format!("subquery is only allowed on instant vector, got {} instead", other.as_str())),
            }
        }
        Expr::Paren(inner) => check(inner),
        Expr::Negate(inner) => {
            check(inner)?;
            match inner.value_type() {
                Type::Scalar | Type::Vector => Ok(()),
                other => refuse(format!(
                    "unary expression only allowed on expressions of type scalar or instant vector, got {:?}",
                    other.as_str()
                )),
            }
        }
        Expr::Binary(b) => check_binary(b),
        Expr::Aggregate(a) => {
            a.param.as_ref().map_or(Ok(()), check)?;
            check(&a.expr)?;
            if let (Some(expected), Some(param)) = (a.op.parameter(), &a.param) {
                expect_type(expected, param, "aggregation parameter")?;
            }
            expect_type(Type::Vector, &a.expr, "aggregation expression")
        }
        Expr::Call(call) => check_call(call.function, &call.args),
    }
}

fn expect_type(expected: Type, expr: &Expr, place: &str) -> Result<()> {
    let got = expr.value_type();
    if got == expected {
        return Ok(());
    }
    refuse(format!("expected type {} in {place}, got {}", expected.as_str(), got.as_str()))
}

fn check_selector(s: &Selector) -> Result<()> {
    if let Some(name) = &s.name {
        return match s.matchers.iter().find(|m| m.name == METRIC_NAME) {
            Some(m) => refuse(format!("metric name must not be set twice: {name:?} or {:?}", m.value)),
            None => Ok(()),
        };
    }
    if s.matchers.iter().all(Matcher::matches_empty) {
        return refuse("vector selector must contain at least one non-empty matcher");
    }
    Ok(())
}

fn check_binary(b: &Binary) -> Result<()> {
    check(&b.left)?;
    check(&b.right)?;
    let op = b.op.as_str();
    let types = (b.left.value_type(), b.right.value_type());
    for side in [types.0, types.1] {
        if !matches!(side, Type::Scalar | Type::Vector) {
            return refuse("binary expression must contain only scalar and instant vector types");
        }
    }
    if b.return_bool && !b.op.is_comparison() {
        return refuse("bool modifier can only be used on comparison operators");
    }
    if b.op.is_comparison() && !b.return_bool && types == (Type::Scalar, Type::Scalar) {
        return refuse("comparisons between scalars must use BOOL modifier");
    }
    if b.op.is_set() && b.matching.is_none() {
        return refuse(format!("set operator {op:?} not allowed in binary scalar expression"));
    }
    if let Some(m) = &b.matching {
        for label in &m.include {
            if m.on && m.labels.contains(label) {
                return refuse(format!("label {label:?} must not occur in ON and GROUP clause at once"));
            }
        }
    }
    Ok(())
}

fn check_call(function: &Function, args: &[Expr]) -> Result<()> {
    let (most, got, name) = (function.args.len(), args.len(), function.name);
    let least = if function.variadic == 0 { most } else { most - 1 };
    if function.variadic == 0 && got != most {
        return refuse(format!("expected {most} argument(s) in call to {name:?}, got {got}"));
    }
    if got < least {
        return refuse(format!("expected at least {least} argument(s) in call to {name:?}, got {got}"));
    }
    let limit = least + usize::try_from(function.variadic).unwrap_or(usize::MAX - least);
    if function.variadic != 0 && got > limit {
        return refuse(format!("expected at most {limit} argument(s) in call to {name:?}, got {got}"));
    }
    for (i, arg) in args.iter().enumerate() {
        check(arg)?;
        let expected = function.args.get(i).or(function.args.last());
        if let Some(expected) = expected {
            expect_type(*expected, arg, &format!("call to function {name:?}"))?;
        }
    }
    if name == "info" && args.len() == 2 {
        match &args[1] {
            Expr::Selector(s) if s.name.is_none() => {}
            _ => return refuse("expected label selectors only"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, printed: &str) {
        let expr = parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(expr.to_string(), printed, "{text}");
        assert_eq!(parse(printed).unwrap(), expr, "{text}: does not go round");
    }

    #[test]
    fn prints_canonically() {
        check("sum  by()(a)", "sum(a)");
        check("sum without() (a{x='1'})", r#"sum without () (a{x="1"})"#);
        check("topk(5,a) by (x)", "topk by (x) (5, a)");
        check("a - ignoring() group_left(m) c", "a - ignoring () group_left (m) c");
        check("a==bool on(b)c", "a == bool on (b) c");
        check(r#"{"a.b", c=~`\d+`}[5m] offset -7m"#, r#"{__name__="a.b",c=~"\\d+"}[5m] offset -7m"#);
        check("rate(a[1h:5m]@10 offset 1m)", "rate(a[1h:5m] @ 10.000 offset 1m)");
        check("-a * (1_000 + 2)", "-a * (1000 + 2)");
        check("a @ end() > 1m", "a @ end() > 60");
        check("a{b=~\"\\\\Qx.y\\\\E\"}", r#"a{b=~"\\Qx.y\\E"}"#);
    }

    #[test]
    fn refuses_as_prometheus_does() {
        for (text, part) in [
            ("1 == 1", "comparisons between scalars must use BOOL modifier"),
            ("-test[5m]", "unary expression only allowed"),
            ("1 and foo", "set operator \"and\" not allowed"),
            ("foo == on(bar) 10", "vector matching only allowed between instant vectors"),
            ("foo + bool 10", "bool modifier can only be used on comparison operators"),
            ("{x=\"\"}", "at least one non-empty matcher"),
            ("foo{__name__=\"bar\"}", "metric name must not be set twice"),
            ("floor()", "expected 1 argument(s) in call to \"floor\", got 0"),
            ("rate(avg)", "expected type range vector in call to function \"rate\""),
            ("nonsense_function(a)", "unknown function"),
            ("a[0s]", "greater than 0"),
            ("a{b=~\"(\"}", ""),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
