//! Lists of mail addresses, as Go's `mail.ParseAddressList` reads them: Alertmanager's users write them so.
//! In: `ana@x.org, "Ops, night" <ops@x.org>,`. Out: mailboxes; empty entries and comments count for nothing, groups for their members.
//! Never: looks a domain up.
//! Start at [`parse`].

use lettre::Address;
use lettre::message::{Mailbox, Mailboxes};

/// Recipients of one message; a longer list belongs into the mail server's aliases.
pub const RECIPIENTS_MAX: usize = 100;

/// Checks what is written as `to` or `from`, unless it is a template.
pub fn check(addresses: &str) -> Result<(), String> {
    if addresses.contains("{{") {
        return Ok(());
    }
    parse(addresses).map(|_| ())
}

pub fn parse(addresses: &str) -> Result<Mailboxes, String> {
    let entries = entries(addresses).map_err(|reason| format!("`{addresses}` is not a list of addresses: {reason}"))?;
    if entries.is_empty() {
        return Err("no recipient".to_owned());
    }
    if entries.len() > RECIPIENTS_MAX {
        return Err(format!("{} recipients, at most {RECIPIENTS_MAX} are allowed", entries.len()));
    }
    let mailbox = |entry: &String| {
        // A bare address may be in a form that lettre's reader of mailboxes does not know: `ana@[127.0.0.1]`.
        let bare = || entry.parse::<Address>().map(|address| Mailbox::new(None, address));
        let read = entry.parse::<Mailbox>().or_else(|e| bare().map_err(|_| e));
        read.map_err(|e| format!("`{addresses}` is not a list of addresses: {entry}: {e}"))
    };
    entries.iter().map(mailbox).collect()
}

/// What stands between the commas, without blanks and comments.
fn entries(text: &str) -> Result<Vec<String>, &'static str> {
    let (mut found, mut entry) = (Vec::new(), String::new());
    let mut chars = text.chars();
    let (mut comments, mut in_group) = (0_u32, false);
    while let Some(c) = chars.next() {
        match c {
            '(' => comments += 1,
            ')' => comments = comments.checked_sub(1).ok_or("a ) without its (")?,
            _ if comments > 0 => {}
            '"' => entry.push_str(&quoted(&mut chars)?),
            '<' | '[' => {
                // A domain may be an address in brackets, and then holds colons.
                let end = if c == '<' { '>' } else { ']' };
                entry.push(c);
                entry.push_str(&take_until(&mut chars, end)?);
            }
            ':' if !in_group => {
                // The name of a group; its members follow.
                in_group = true;
                entry.clear();
            }
            ',' => push(&mut found, &mut entry),
            ';' if in_group => {
                in_group = false;
                push(&mut found, &mut entry);
            }
            _ => entry.push(c),
        }
    }
    if comments > 0 {
        return Err("a ( without its )");
    }
    push(&mut found, &mut entry);
    Ok(found)
}

fn push(found: &mut Vec<String>, entry: &mut String) {
    let whole = std::mem::take(entry);
    if !whole.trim().is_empty() {
        found.push(whole.trim().to_owned());
    }
}

fn quoted(chars: &mut std::str::Chars<'_>) -> Result<String, &'static str> {
    let mut out = String::from('"');
    loop {
        let c = chars.next().ok_or("a quote without its end")?;
        out.push(c);
        match c {
            '"' => return Ok(out),
            '\\' => out.push(chars.next().ok_or("a quote without its end")?),
            _ => {}
        }
    }
}

fn take_until(chars: &mut std::str::Chars<'_>, end: char) -> Result<String, &'static str> {
    let mut out = String::new();
    loop {
        let c = chars.next().ok_or("a bracket without its end")?;
        out.push(c);
        if c == end {
            return Ok(out);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn good(text: &str, expect: &[&str]) {
        let parsed = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        let addresses: Vec<String> = parsed.iter().map(|mailbox| mailbox.email.to_string()).collect();
        assert_eq!(addresses, expect, "{text}");
    }

    #[test]
    fn lists_are_read_as_go_reads_them() {
        good("ana@x.org", &["ana@x.org"]);
        good("ana@x.org,", &["ana@x.org"]);
        good("ana@x.org, ", &["ana@x.org"]);
        good(" , ,ana@x.org,, bob@x.org ,", &["ana@x.org", "bob@x.org"]);
        good("Ana <ana@x.org>, \"Ops, night\" <ops@x.org>", &["ana@x.org", "ops@x.org"]);
        good("ana@x.org (on call, day), bob@x.org", &["ana@x.org", "bob@x.org"]);
        good("Team: ana@x.org, bob@x.org;, carl@x.org", &["ana@x.org", "bob@x.org", "carl@x.org"]);
        good("ana@[127.0.0.1]", &["ana@[127.0.0.1]"]);
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for text in [
            "",
            ",",
            " , ",
            "ana",
            "ana@",
            "ana@x.org bob@x.org",
            "\"ana@x.org",
            "<ana@x.org",
            "(ana@x.org",
            "ana)@x.org",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(check("{{ .CommonLabels.mail }},").is_ok(), "a template is read when it is rendered");
    }
}
