//! Trial: receivers are built and their templates run once, before anybody waits for a message.
//! In: receivers and template files without a mistake so far. Out: what would be refused, or go mute, when they are used.
//! Never: connects to anything.
//! Start at [`check`].

use super::load::Files;
use super::named::TemplateFile;
use super::receivers::Receiver;
use crate::notify::{self, Notifiers, Renderer, Templates};
use crate::template::{FailureKind, TemplateError};
use crate::yaml::Position;
use crate::yaml::{Mistake, Mistakes, Notes};
use std::sync::Arc;

/// What was built, when nothing is wrong; nothing is when files are not looked at.
pub(super) fn check(receivers: &[Receiver], files: &[TemplateFile], mode: Files, notes: &Notes) -> Notifiers {
    let Some(templates) = templates(files, notes) else { return Notifiers::default() };
    for receiver in receivers {
        for (integration, at) in receiver.config.integrations.iter().zip(&receiver.places) {
            for field in integration.templates() {
                if let Err(error) = templates.check(&field) {
                    note(field.name, &error, *at, mode, notes);
                }
            }
        }
    }
    if mode == Files::Check && notes.is_clean() {
        return build(receivers, templates, notes);
    }
    Notifiers::default()
}

/// `None` when a file is not a template.
fn templates(files: &[TemplateFile], notes: &Notes) -> Option<Templates> {
    let named = || files.iter().map(|file| (file.name.as_str(), file.text.as_str()));
    match Templates::new(named()) {
        Ok(templates) => Some(templates),
        Err(TemplateError::Parse { name, line, column, reason }) => {
            let at = Position { line: line as u64, column: column as u64 };
            notes.add(Mistakes(vec![Mistake::new(&name, at, format!("template: {reason}"))]));
            None
        }
        Err(error @ TemplateError::Execute { .. }) => {
            notes.mistake(Position::default(), error.to_string());
            None
        }
    }
}

fn note(field: &str, error: &TemplateError, at: Position, mode: Files, notes: &Notes) {
    let advice = "a message would go out with Watchfire's own words instead";
    match error {
        TemplateError::Parse { reason, .. } => notes.mistake_with(at, format!("{field}: template: {reason}"), advice),
        // The files that define it were not looked at.
        TemplateError::Execute { kind: FailureKind::NotDefined, .. } if mode == Files::Ignore => {}
        TemplateError::Execute { kind, reason, node, .. } => {
            // A node that is no expression is shown by its first mark alone, which says nothing.
            let place = if node == "{{" { String::new() } else { format!(" at <{node}>") };
            let text = format!("{field}: template{place}: {reason}");
            if *kind == FailureKind::Call {
                notes.warn(at, text, "this is what made-up alerts came to; others may fare better");
            } else {
                notes.mistake_with(at, text, advice);
            }
        }
    }
}

fn build(receivers: &[Receiver], templates: Templates, notes: &Notes) -> Notifiers {
    let configs: Vec<_> = receivers.iter().map(|receiver| receiver.config.clone()).collect();
    let errors = match notify::build(&configs, &Renderer::new(Arc::new(templates))) {
        Ok(notifiers) => return notifiers,
        Err(errors) => errors,
    };
    for error in errors {
        let receiver = receivers.iter().find(|receiver| receiver.config.name == error.receiver);
        let place = receiver.and_then(|receiver| {
            let index = receiver.config.ids().iter().position(|id| *id == error.integration)?;
            receiver.places.get(index)
        });
        let at = place.copied().unwrap_or_default();
        notes.mistake(at, format!("receiver {:?}, {}: {}", error.receiver, error.integration, error.reason));
    }
    Notifiers::default()
}
