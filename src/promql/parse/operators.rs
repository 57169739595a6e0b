//! Binary operators: how tight they bind, and what may stand beside them.
//! In: a left side and tokens. Out: a tree.
//! Never: looks at types.
//! Start at [`Parser::binaries`].

use super::super::ast::{Binary, BinaryOp, Cardinality, Expr, Matching};
use super::error::{Result, refuse};
use super::parser::{Parser, is_sign};
use super::token::{Keyword, Kind};

/// What a sign's operand binds with: a power only.
pub(super) const UNARY: u8 = 6;

/// How tight an operator binds; the operands of one that leans to the left bind tighter to their right.
pub(super) fn power(op: BinaryOp) -> u8 {
    match op {
        BinaryOp::Or => 1,
        BinaryOp::And | BinaryOp::Unless => 2,
        op if op.is_comparison() => 3,
        BinaryOp::Add | BinaryOp::Sub => 4,
        BinaryOp::Pow => UNARY,
        _ => 5,
    }
}

/// What the right side of an operator binds with at least.
pub(super) fn right_power(op: BinaryOp) -> u8 {
    if op == BinaryOp::Pow { power(op) } else { power(op) + 1 }
}

impl Parser<'_> {
    /// Operators after `left` that bind at least as tight as `min`.
    pub fn binaries(&mut self, mut left: Expr, min: u8) -> Result<Expr> {
        while let Kind::Op(op) = self.peek()?.kind
            && power(op) >= min
        {
            let op_place = self.next()?.place;
            self.count_operator()?;
            let return_bool = self.accept_keyword(Keyword::Bool)?.is_some();
            let mut matching = self.matching()?;
            if op.is_set() && matching.card == Cardinality::OneToOne {
                matching.card = Cardinality::ManyToMany;
            }
            let right = self.expr(right_power(op))?;
            let is_filled = matching.fill_left.is_some() || matching.fill_right.is_some();
            if is_filled && !self.features.fill_modifiers {
                return refuse(left.place(), "binop fill modifiers are experimental and not enabled");
            }
            let matching = Some(matching);
            left = Expr::Binary(Box::new(Binary { op, left, right, return_bool, matching, op_place }));
        }
        Ok(left)
    }

    /// `on`, `ignoring`, `group_left`, `group_right`, and the fill modifiers.
    fn matching(&mut self) -> Result<Matching> {
        let mut matching = Matching {
            on: false,
            labels: Vec::new(),
            card: Cardinality::OneToOne,
            include: Vec::new(),
            fill_left: None,
            fill_right: None,
        };
        let on = self.accept_keyword(Keyword::On)?.is_some();
        if on || self.accept_keyword(Keyword::Ignoring)?.is_some() {
            matching.on = on;
            matching.labels = self.label_list()?;
            let left = self.accept_keyword(Keyword::GroupLeft)?.is_some();
            if left || self.accept_keyword(Keyword::GroupRight)?.is_some() {
                matching.card = if left { Cardinality::ManyToOne } else { Cardinality::OneToMany };
                if self.peek()?.kind == Kind::LeftParen {
                    matching.include = self.label_list()?;
                }
            }
        }
        self.fills(&mut matching)?;
        Ok(matching)
    }

    /// A fill word without a parenthesis is the name of a metric.
    fn fills(&mut self, matching: &mut Matching) -> Result<()> {
        loop {
            let Kind::Keyword(word @ (Keyword::Fill | Keyword::FillLeft | Keyword::FillRight)) = self.peek()?.kind
            else {
                return Ok(());
            };
            let (fills_left, fills_right) = (word != Keyword::FillRight, word != Keyword::FillLeft);
            if !self.second_is_paren()
                || (fills_left && matching.fill_left.is_some())
                || (fills_right && matching.fill_right.is_some())
            {
                return Ok(());
            }
            self.next()?;
            self.expect(Kind::LeftParen, "", "")?;
            let value = self.signed_number()?;
            self.expect(Kind::RightParen, "", "")?;
            if fills_left {
                matching.fill_left = Some(value);
            }
            if fills_right {
                matching.fill_right = Some(value);
            }
        }
    }

    fn signed_number(&mut self) -> Result<f64> {
        let sign = is_sign(self.peek()?.kind);
        if sign.is_some() {
            self.next()?;
        }
        if !matches!(self.peek()?.kind, Kind::Number | Kind::Duration) {
            return Err(self.unexpected("", ""));
        }
        let (value, ..) = self.number()?;
        Ok(if sign == Some(true) { -value } else { value })
    }
}
