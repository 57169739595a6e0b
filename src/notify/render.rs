//! Operators' templates, and what is said when one fails.
//! In: template text and a message. Out: text, always; a failed template yields our own words with the error in them.
//! Never: lets a template's failure stop a message.
//! Start at [`Renderer::text`].

use super::text;
use crate::model::{Message, Timestamp};
use std::sync::Arc;

/// Runs one template over one message. `html` escapes what the data bring, as Go's html/template does.
pub trait TemplateEngine: Send + Sync + 'static {
    fn render(&self, template: &str, message: &Message, now: Timestamp, html: bool) -> Result<String, String>;
}

/// What every channel renders its texts with.
#[derive(Clone)]
pub struct Renderer {
    engine: Arc<dyn TemplateEngine>,
    now: Timestamp,
}

impl Renderer {
    pub fn new(engine: Arc<dyn TemplateEngine>) -> Self {
        Self { engine, now: Timestamp::EPOCH }
    }

    /// The same with `now` for `since` and its like.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        Self { engine: Arc::clone(&self.engine), now }
    }

    /// The template's text, or `default` when there is none or it fails. `field` is the name in the configuration.
    pub fn text(
        &self,
        field: &str,
        template: Option<&Arc<str>>,
        message: &Message,
        default: impl FnOnce() -> String,
    ) -> String {
        match self.attempt(field, template, message, false) {
            None => default(),
            Some(Ok(text)) => text,
            Some(Err(note)) => format!("{}\n\n({note})", default().trim_end()),
        }
    }

    /// As [`Self::text`], for one line: subject, title, description.
    pub fn line(
        &self,
        field: &str,
        template: Option<&Arc<str>>,
        message: &Message,
        default: impl FnOnce() -> String,
    ) -> String {
        match self.attempt(field, template, message, false) {
            Some(Ok(text)) => text::one_line(&text),
            None | Some(Err(_)) => default(),
        }
    }

    /// `None` when the template is not set, fails, or says nothing.
    pub fn optional(&self, field: &str, template: Option<&Arc<str>>, message: &Message) -> Option<String> {
        self.attempt(field, template, message, false)?.ok().filter(|text| !text.is_empty())
    }

    /// HTML: data are escaped, the template itself is not. `default` is HTML already.
    pub fn html(
        &self,
        field: &str,
        template: Option<&Arc<str>>,
        message: &Message,
        default: impl FnOnce() -> String,
    ) -> String {
        match self.attempt(field, template, message, true) {
            None => default(),
            Some(Ok(text)) => text,
            Some(Err(note)) => format!("{}\n<p>({})</p>\n", default(), super::html::escape(&note)),
        }
    }

    fn attempt(
        &self,
        field: &str,
        template: Option<&Arc<str>>,
        message: &Message,
        html: bool,
    ) -> Option<Result<String, String>> {
        let template = template?;
        if !template.contains("{{") {
            return Some(Ok(template.to_string()));
        }
        Some(self.engine.render(template, message, self.now, html).map_err(|error| {
            let error = text::one_line(&text::cut(&error, 300));
            tracing::warn!(receiver = %message.receiver, field, %error, "template failed, sending plain text");
            format!("the template `{field}` of receiver {} failed: {error}", message.receiver)
        }))
    }
}

/// Refuses every template: for receivers without templates, and for tests of the fallback.
pub struct NoTemplates;

impl TemplateEngine for NoTemplates {
    fn render(&self, _: &str, _: &Message, _: Timestamp, _: bool) -> Result<String, String> {
        Err("no template engine".to_owned())
    }
}
