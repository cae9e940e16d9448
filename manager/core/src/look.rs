//! What people ask of ads: an expression that picks jobs and workers, and what one comes to. Holds
//! no ad, and changes nothing.

use classad::{ClassAd, Expr, Scope, Value};
use proto::nouns::{JobId, Now};

use crate::job::Cluster;
use crate::negotiator::seconds;
use crate::policy::is_alike;
use crate::pool::Worker;
use crate::queue::Queue;

/// Bytes of one expression.
const EXPR_BYTES_MAX: usize = 64 << 10;

/// An expression that somebody asks about ads.
#[derive(Clone, Debug)]
pub struct Probe {
    text: String,
    expr: Expr,
}

/// Text that is no expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no expression: column {column}: {reason}")]
pub struct BadExpression {
    pub text: String,
    /// From 1, in characters.
    pub column: usize,
    pub reason: String,
}

/// What a probe comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// A string as it is, anything else as it is written in an ad.
    pub text: String,
    pub json: String,
}

impl Probe {
    /// # Errors
    /// Where and why it is no expression.
    pub fn parse(text: &str) -> Result<Probe, BadExpression> {
        if text.len() > EXPR_BYTES_MAX {
            return Err(BadExpression {
                text: text.chars().take(20).collect::<String>() + "…",
                column: 1,
                reason: format!(
                    "it has {} bytes, more than {EXPR_BYTES_MAX} (EXPR_BYTES_MAX)",
                    text.len()
                ),
            });
        }
        match Expr::parse(text) {
            Ok(expr) => Ok(Probe {
                text: text.to_owned(),
                expr,
            }),
            Err(error) => Err(BadExpression {
                text: text.to_owned(),
                column: text[..error.offset].chars().count() + 1,
                reason: error.to_string(),
            }),
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is true of an ad: not where it is undefined.
    pub fn holds(&self, ad: &ClassAd, now: Now) -> bool {
        self.value(ad, now).is_true()
    }

    /// What it comes to in an ad.
    pub fn show(&self, ad: &ClassAd, now: Now) -> Shown {
        let value = self.value(ad, now);
        let json = Expr::from(value.clone()).to_json().to_string();
        let text = match value {
            Value::Str(text) => text.to_string(),
            value => value.to_string(),
        };
        Shown { text, json }
    }

    fn value(&self, ad: &ClassAd, now: Now) -> Value {
        Scope::new(ad).now(seconds(now)).eval(&self.expr)
    }
}

impl Queue {
    /// The whole ad of a job; nothing where there is no such job, or its description does not
    /// expand.
    pub fn ad_of(&self, cluster: &Cluster, proc: u32) -> Option<ClassAd> {
        if proc >= cluster.count {
            return None;
        }
        let spec = self.whole_spec(cluster, proc).ok()?;
        let job = JobId {
            cluster: cluster.id,
            proc,
        };
        Some(self.job_ad(cluster, job, &spec))
    }

    /// What probes come to in the ad of a job; of one without an ad, in an empty one.
    pub fn show(&self, now: Now, cluster: &Cluster, proc: u32, probes: &[Probe]) -> Vec<Shown> {
        let ad = self.ad_of(cluster, proc).unwrap_or_default();
        probes.iter().map(|probe| probe.show(&ad, now)).collect()
    }

    /// Whether a probe that was held against one untouched job's ad need not be held against those
    /// of the others.
    pub fn is_alike(&self, ad: &ClassAd, probe: &Probe) -> bool {
        is_alike(ad, &probe.expr)
    }
}

impl Worker {
    /// What probes come to in the ad of what is left of it.
    pub fn show(&self, now: Now, probes: &[Probe]) -> Vec<Shown> {
        probes
            .iter()
            .map(|probe| probe.show(&self.slot, now))
            .collect()
    }
}
