//! Go's regular expressions in Rust's words.
//! In: a pattern in the syntax of Go's `regexp` (RE2 with Perl's flags). Out: one that Rust's `regex` reads alike, or Go's refusal.
//! Never: compiles; what is wrong with parentheses is found there.
//! Start at [`translate`].

use std::collections::HashSet;
use std::fmt;
use std::iter::Peekable;
use std::str::Chars;

/// The largest count of a repetition, nested ones multiplied (Go, `regexp/syntax`: `repeatIsValid`).
const REPEAT_MAX: u64 = 1000;

/// Go's `\d \w \s \b` are ASCII and Rust's are Unicode. Go has `\Q…\E` and octal numbers, reads a `{` that begins no count as
/// itself, and knows nothing of Rust's set operations, flags and escapes.
pub(super) fn translate(text: &str) -> Result<String, String> {
    let mut reader =
        Reader { rest: text.chars().peekable(), out: String::with_capacity(text.len() + 8), atom: Atom::None };
    reader.whole()?;
    Ok(reader.out)
}

/// What a repetition that comes next would repeat.
#[derive(Clone, Copy, PartialEq)]
enum Atom {
    None,
    /// Something that holds repetitions, multiplied, of at most so many.
    Some(u64),
    /// A repetition already.
    Repeated(u64),
}

impl Atom {
    fn repeats(self) -> u64 {
        match self {
            Self::None => 1,
            Self::Some(n) | Self::Repeated(n) => n,
        }
    }
}

struct Reader<'t> {
    rest: Peekable<Chars<'t>>,
    out: String,
    atom: Atom,
}

impl Reader<'_> {
    fn whole(&mut self) -> Result<(), String> {
        let mut names = HashSet::new();
        // For each open group, the most that a repetition inside of it repeats.
        let mut open = vec![1];
        while let Some(c) = self.rest.next() {
            if let Some(inside) = open.last_mut() {
                *inside = (*inside).max(self.atom.repeats());
            }
            match c {
                '(' => {
                    let is_group = self.group(&mut names)?;
                    self.atom = Atom::None;
                    if is_group {
                        open.push(1);
                    }
                }
                ')' => {
                    self.out.push(')');
                    self.atom = Atom::Some(if open.len() > 1 { open.pop().unwrap_or(1) } else { 1 });
                }
                '|' => {
                    self.out.push('|');
                    self.atom = Atom::None;
                }
                '*' | '+' | '?' => self.repeat(&c.to_string(), 1)?,
                '{' => match self.count() {
                    Some((text, count)) if count <= REPEAT_MAX => self.repeat(&text, count)?,
                    Some((text, _)) => return Err(format!("invalid repeat count: `{text}`")),
                    None => self.literal('{'),
                },
                '[' => self.class()?,
                '\\' => self.escape()?,
                '.' | '^' | '$' => {
                    self.out.push(c);
                    self.atom = Atom::Some(1);
                }
                c => self.literal(c),
            }
        }
        Ok(())
    }

    fn put(&mut self, text: fmt::Arguments<'_>) {
        self.out.push_str(&text.to_string());
    }

    fn literal(&mut self, c: char) {
        self.out.push_str(&regex::escape(c.encode_utf8(&mut [0; 4])));
        self.atom = Atom::Some(1);
    }

    /// `operator` is put behind what came last, with a `?` that makes it lazy.
    fn repeat(&mut self, operator: &str, count: u64) -> Result<(), String> {
        let times = match self.atom {
            Atom::None => return Err(format!("missing argument to repetition operator: `{operator}`")),
            Atom::Repeated(_) => return Err(format!("invalid nested repetition operator: `{operator}`")),
            Atom::Some(inside) => inside * count.max(1),
        };
        if times > REPEAT_MAX {
            return Err(format!("invalid repeat count: `{operator}`"));
        }
        self.out.push_str(operator);
        if self.rest.next_if_eq(&'?').is_some() {
            self.out.push('?');
        }
        self.atom = Atom::Repeated(times);
        Ok(())
    }

    /// `n}`, `n,}` or `n,m}`, and the larger number. Anything else is no count, and nothing is taken.
    fn count(&mut self) -> Option<(String, u64)> {
        let mut ahead = self.rest.clone();
        let mut text = "{".to_owned();
        loop {
            let c = ahead.next()?;
            text.push(c);
            match c {
                '0'..='9' | ',' => {}
                '}' => break,
                _ => return None,
            }
        }
        let inner = &text[1..text.len() - 1];
        let (least, most) = inner.split_once(',').map_or((inner, inner), |(least, most)| (least, most));
        // Go takes no zero in front, and no more than eight digits.
        let number = |t: &str| if t.len() > 1 && t.starts_with('0') { None } else { t.parse::<u64>().ok() };
        let least = number(least)?;
        let most = if most.is_empty() { least } else { number(most)? };
        self.rest = ahead;
        Some((text, if most < least { u64::MAX } else { most }))
    }

    /// After `(`. False for flags that hold from here on, such as `(?i)`.
    fn group(&mut self, names: &mut HashSet<String>) -> Result<bool, String> {
        if self.rest.next_if_eq(&'?').is_none() {
            self.out.push('(');
            return Ok(true);
        }
        let mut ahead = self.rest.clone();
        ahead.next_if_eq(&'P');
        if ahead.next() == Some('<') {
            let name: String = ahead.by_ref().take_while(|c| *c != '>').collect();
            if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!("invalid named capture: `(?P<{name}>`"));
            }
            self.rest = ahead;
            let is_plain = !name.starts_with(|c: char| c.is_ascii_digit()) && names.insert(name.clone());
            // Rust has neither names that are numbers nor two groups of one name; by number both are found.
            self.out.push('(');
            if is_plain {
                self.put(format_args!("?P<{name}>"));
            }
            return Ok(true);
        }
        let (mut flags, mut negative) = (String::new(), false);
        loop {
            match self.rest.next() {
                Some(c @ ('i' | 'm' | 's' | 'U')) => {
                    if !flags.rsplit('-').next().is_some_and(|part| part.contains(c)) {
                        flags.push(c);
                    }
                }
                Some('-') if !negative => {
                    negative = true;
                    flags.push('-');
                }
                Some(c @ (':' | ')')) if !flags.ends_with('-') => {
                    if c == ':' || !flags.is_empty() {
                        self.put(format_args!("(?{flags}{c}"));
                    }
                    return Ok(c == ':');
                }
                _ => return Err(format!("invalid or unsupported Perl syntax: `(?{flags}`")),
            }
        }
    }

    /// After a backslash, outside of classes.
    fn escape(&mut self) -> Result<(), String> {
        let last = self.out.len();
        match self.rest.peek().copied() {
            Some('Q') => {
                self.rest.next();
                while let Some(c) = self.rest.next() {
                    if c == '\\' && self.rest.next_if_eq(&'E').is_some() {
                        break;
                    }
                    self.literal(c);
                }
                return Ok(());
            }
            Some(c @ ('b' | 'B')) => {
                self.rest.next();
                self.put(format_args!("(?-u:\\{c})"));
            }
            Some(c @ ('A' | 'z')) => {
                self.rest.next();
                self.put(format_args!("\\{c}"));
            }
            _ if self.set(false)? => {}
            _ => {
                let c = self.escaped()?;
                self.literal(c);
            }
        }
        debug_assert!(self.out.len() > last);
        self.atom = Atom::Some(1);
        Ok(())
    }

    /// After a backslash: `\d`, `\pL` and their like. False when it is none of them.
    fn set(&mut self, in_class: bool) -> Result<bool, String> {
        let Some(c) = self.rest.peek().copied() else { return Ok(false) };
        let members = match c.to_ascii_lowercase() {
            'd' => "0-9",
            'w' => "0-9A-Za-z_",
            's' => "\\t\\n\\f\\r ",
            'p' => {
                self.rest.next();
                return self.property(c == 'P').map(|()| true);
            }
            _ => return Ok(false),
        };
        self.rest.next();
        match (c.is_ascii_uppercase(), in_class) {
            (false, true) => self.out.push_str(members),
            (false, false) => self.put(format_args!("[{members}]")),
            (true, _) => self.put(format_args!("[^{members}]")),
        }
        Ok(true)
    }

    /// After `\p`: a general category or a script, by its exact name.
    fn property(&mut self, negated: bool) -> Result<(), String> {
        let mut name = String::new();
        if self.rest.next_if_eq(&'{').is_some() {
            loop {
                match self.rest.next() {
                    Some('}') => break,
                    Some(c) => name.push(c),
                    None => return Err(format!("invalid character class range: `\\p{{{name}`")),
                }
            }
        } else {
            name.extend(self.rest.next());
        }
        let (bare, caret) = name.strip_prefix('^').map_or((name.as_str(), false), |bare| (bare, true));
        let is_name = bare.starts_with(|c: char| c.is_ascii_uppercase())
            && bare.chars().all(|c| c.is_ascii_alphabetic() || c == '_')
            && !(bare.len() == 2 && bare.ends_with(|c: char| c.is_ascii_uppercase()));
        if !is_name {
            return Err(format!("invalid character class range: `\\p{{{name}}}`"));
        }
        let p = if negated == caret { 'p' } else { 'P' };
        let table = match bare.len() {
            1 | 2 => "gc=",
            _ if bare == "Any" => "",
            _ => "sc=",
        };
        self.put(format_args!("\\{p}{{{table}{bare}}}"));
        Ok(())
    }

    /// After a backslash: the one character that is meant.
    fn escaped(&mut self) -> Result<char, String> {
        let Some(c) = self.rest.next() else { return Err("trailing backslash at end of expression: ``".to_owned()) };
        let invalid = |c: char| format!("invalid escape sequence: `\\{c}`");
        let code = match c {
            // A single digit would refer back.
            '1'..='7' if !self.rest.peek().is_some_and(|d| ('0'..='7').contains(d)) => return Err(invalid(c)),
            '0'..='7' => {
                let mut code = c.to_digit(8).unwrap_or(0);
                for _ in 0..2 {
                    let Some(digit) = self.rest.peek().and_then(|d| d.to_digit(8)) else { break };
                    self.rest.next();
                    code = code * 8 + digit;
                }
                code
            }
            'x' if self.rest.next_if_eq(&'{').is_some() => {
                let digits: String = self.rest.by_ref().take_while(|c| *c != '}').collect();
                u32::from_str_radix(&digits, 16).map_err(|_| invalid(c))?
            }
            'x' => {
                let digits: String = self.rest.by_ref().take(2).collect();
                let is_hex = digits.len() == 2 && digits.bytes().all(|b| b.is_ascii_hexdigit());
                if is_hex { u32::from_str_radix(&digits, 16).map_err(|_| invalid(c))? } else { return Err(invalid(c)) }
            }
            'a' => 7,
            'f' => 12,
            'n' => 10,
            'r' => 13,
            't' => 9,
            'v' => 11,
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => c.into(),
            c => return Err(invalid(c)),
        };
        char::from_u32(code).ok_or_else(|| invalid(c))
    }

    /// After `[`. Each character is written by its number, so that none means anything to Rust.
    fn class(&mut self) -> Result<(), String> {
        let unclosed = || "missing closing ]".to_owned();
        self.out.push('[');
        if self.rest.next_if_eq(&'^').is_some() {
            self.out.push('^');
        }
        let mut is_first = true;
        while is_first || self.rest.peek() != Some(&']') {
            is_first = false;
            if self.named_class()? {
                continue;
            }
            let low = match self.rest.next().ok_or_else(unclosed)? {
                '\\' if self.set(true)? => continue,
                '\\' => self.escaped()?,
                c => c,
            };
            let mut ahead = self.rest.clone();
            let is_range = ahead.next() == Some('-') && ahead.peek().is_some_and(|c| *c != ']');
            let high = if is_range {
                self.rest = ahead;
                match self.rest.next().ok_or_else(unclosed)? {
                    '\\' => self.escaped()?,
                    c => c,
                }
            } else {
                low
            };
            if high < low {
                return Err(format!("invalid character class range: `{low}-{high}`"));
            }
            self.put(format_args!("\\x{{{:x}}}-\\x{{{:x}}}", u32::from(low), u32::from(high)));
        }
        self.rest.next();
        self.out.push(']');
        self.atom = Atom::Some(1);
        Ok(())
    }

    /// `[:alpha:]` inside of a class; without its end it is plain text.
    fn named_class(&mut self) -> Result<bool, String> {
        const NAMES: &[&str] = &[
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
            "word", "xdigit",
        ];
        let text: String = self.rest.clone().collect();
        let Some((name, _)) = text.strip_prefix("[:").and_then(|inner| inner.split_once(":]")) else {
            return Ok(false);
        };
        if !NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
            return Err(format!("invalid character class range: `[:{name}:]`"));
        }
        self.put(format_args!("[:{name}:]"));
        self.rest.by_ref().take(name.chars().count() + 4).for_each(drop);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pattern;

    #[test]
    fn what_go_takes_and_how_it_reads_it() {
        let reads = [
            (r"/api/{id}", "/api/{id}"),
            (r".*{.*", "a{b"),
            (r"${x}|\$\{x}", "${x}"),
            (r"{}", "{}"),
            (r"a{,1}", "a{,1}"),
            (r"a{2,3}b{1}c{0,}", "aab"),
            (r"\101\012\0", "A\n\0"),
            (r"[\0-\x{7f}]+", "a\0"),
            (r"\p{^Greek}\pL\PN", "aaa"),
            (r"(?ii)A(?)(?i-s:B)", "ab"),
            (r"(?P<a>x)(?P<a>y)(?P<1>z)(?<b>w)", "xyzw"),
            (r"\pL{50}", "llllllllllllllllllllllllllllllllllllllllllllllllll"),
            (r"[+--]+", "-,+"),
            (r"[a&&b~~c||d]+", "a&b~c|d"),
            (r"[[:alpha:][:^digit:]_-]+", "ab-_"),
            (r"[[:x]+", "[:x"),
            (r"\<\>\_\-\ ", "<>_- "),
            (r"\Qa{2}\E+", "a{2}}}"),
            (r"x*?y+?z??", "xy"),
            (r"\x41\x{42}\a\t", "AB\x07\t"),
            (r"é[é-ü]", "éê"),
        ];
        for (pattern, text) in reads {
            let read = Pattern::anchored(pattern).unwrap_or_else(|e| panic!("{pattern}: {e}"));
            assert!(read.is_match(text), "{pattern} on {text:?}: {:?}", read.regex());
        }
    }

    #[test]
    fn what_go_refuses() {
        let refused = [
            r"\u0041",
            r"\U00000041",
            r"(?x)a",
            r"a**",
            r"a++",
            r"a{1}{2}",
            r"a*??",
            r"a{1001}",
            r"a{2,1}",
            r"(x{1,100}){1,100}",
            r"\p{Alphabetic}",
            r"\p{sc=Greek}",
            r"\p{ASCII}",
            r"\p{greek}",
            r"[[:foo:]]",
            r"[a--b]",
            r"[b-a]",
            r"[\Q.\E]",
            r"(?Pé<x>)",
            r"(?P<é>x)",
            r"\1",
            r"\8",
            r"\E",
            r"\é",
            r"*a",
            r"a|*",
            r"(?=a)",
            r"(?-)",
            r"[a",
            r"\",
            r"(",
            r")",
            r"\p{Greek",
            r"\x4",
        ];
        for pattern in refused {
            assert!(Pattern::anchored(pattern).is_err(), "{pattern}");
        }
    }
}
