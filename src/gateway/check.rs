//! What an exchange would give, without making it: for people who set up a job, and for administrators.

use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::exchange::{ANSWER_WITHIN, invalid, object_in, token_of, too_slow};
use super::{Gateway, Story};
use crate::names::{BadProjectName, IndexName, printable};
use crate::observe::audit::Event;
use crate::policy::{Asked, Grant, ProjectPattern, Projects, why_no_upload};
use crate::proxy::{Arriving, Body, Caller, ExchangeRefusal, exchange_errors, json as json_answer};

/// What the rules say about an identity.
struct Verdict {
    grants: Vec<Grant>,
    refusal: Option<ExchangeRefusal>,
}

impl Gateway {
    /// `POST /_/indexgate/check`: the request of an exchange, and an upload if the question is about one. Nothing is
    /// minted and nothing is used up.
    pub(super) async fn check(
        &self,
        index: Option<&IndexName>,
        method: &Method,
        body: Arriving,
        caller: &Caller,
    ) -> Response<Body> {
        let mut story = Story::begin(Event::Check, caller.address, &self.setup.hash, &self.clock);
        story.about(Event::Check);
        let verdict = timeout(ANSWER_WITHIN, self.verdict(index, method, body, caller, &mut story)).await;
        match verdict.unwrap_or_else(|_| Err(too_slow())) {
            Ok(verdict) => self.tell_verdict(&verdict, story).await,
            Err(refusal) => self.refuse_exchange(&refusal, story).await,
        }
    }

    async fn verdict(
        &self,
        index: Option<&IndexName>,
        method: &Method,
        body: Arriving,
        caller: &Caller,
        story: &mut Story,
    ) -> Result<Verdict, ExchangeRefusal> {
        self.check_may_ask(method, caller)?;
        let request = object_in(body).await?;
        let asked = request.get("upload").map(|upload| asked_in(upload, index)).transpose()?;
        let identified = self.identified(token_of(&request)?, story).await?;
        let (now, claims) = (self.clock.now(), &identified.claims);
        let decision = match self.given(index, claims, asked.as_ref(), now, story) {
            Ok(decision) => decision,
            Err(refusal) => return Ok(Verdict { grants: Vec::new(), refusal: Some(refusal) }),
        };
        story.granted(&decision.grants);
        let refused = asked.filter(|_| decision.permit.is_none()).map(|asked| {
            let why = why_no_upload(&decision, claims, &asked, self.setup.detail);
            ExchangeRefusal::UploadNotCovered(why)
        });
        Ok(Verdict { grants: decision.grants, refusal: refused })
    }

    async fn tell_verdict(&self, verdict: &Verdict, mut story: Story) -> Response<Body> {
        let reference = story.reference().to_owned();
        let errors = verdict.refusal.as_ref().map(|refusal| exchange_errors(refusal, &reference));
        let answer = json!({
            "allowed": verdict.refusal.is_none(),
            "grants": verdict.grants.iter().map(shown).collect::<Vec<_>>(),
            "errors": errors.unwrap_or_else(|| json!([])),
            "reference": reference,
        });
        match &verdict.refusal {
            Some(refusal) => story.refused(refusal, StatusCode::OK),
            None => story.answered(StatusCode::OK),
        }
        self.tell(story).await;
        json_answer(StatusCode::OK, &answer)
    }
}

/// `"upload": {"index", "project", "version"}`; at the path of an index that one is meant if none is named.
fn asked_in(upload: &Value, index: Option<&IndexName>) -> Result<Asked, ExchangeRefusal> {
    let member = |name: &str| match upload.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(invalid(&format!("`upload.{name}` must be a string"))),
    };
    let missing = |name: &str| invalid(&format!("`upload` must be an object with a `{name}`"));
    let named = |text: &str| text.parse::<IndexName>().map_err(|error| invalid(&error.to_string()));
    let index = match (member("index")?, index) {
        (Some(text), _) => named(text)?,
        (None, Some(index)) => index.clone(),
        (None, None) => return Err(missing("index")),
    };
    let project = member("project")?.ok_or_else(|| missing("project"))?;
    let version = member("version")?.ok_or_else(|| missing("version"))?;
    let no_version = || invalid(&format!("`{}` is no version (PEP 440)", printable(version)));
    Ok(Asked {
        index,
        project: project.parse().map_err(|error: BadProjectName| invalid(&error.to_string()))?,
        version: version.parse().map_err(|_| no_version())?,
    })
}

/// A grant in JSON, its projects as a rule writes them.
fn shown(grant: &Grant) -> Value {
    let projects = match &grant.projects {
        Projects::Any => json!("any"),
        Projects::These(patterns) => patterns.iter().map(pattern).collect(),
    };
    json!({"publisher": grant.publisher, "index": grant.index, "projects": projects})
}

fn pattern(pattern: &ProjectPattern) -> Value {
    match pattern {
        ProjectPattern::Exact(name) => json!(name),
        ProjectPattern::Glob(glob) => json!({"glob": glob.as_str()}),
    }
}
