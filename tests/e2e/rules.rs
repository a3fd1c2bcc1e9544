//! The rules in the kinds, as the real API server applies them: the same table as for the client.

use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use kube::core::Status;
use reinstate::api::GROUP;
use serde_json::{Value, json};

use crate::harness::{Namespace, cluster};
use crate::rule_cases::{self, Case};

type Answer = Result<DynamicObject, kube::Error>;

/// Field and message of every rule that the API server names.
fn broken(answer: Answer) -> Vec<(String, String)> {
    let status: Status = match answer {
        Ok(_) => return Vec::new(),
        Err(kube::Error::Api(status)) => *status,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(status.code, 422, "{}", status.message);
    let causes = status.details.unwrap().causes;
    causes.into_iter().map(|cause| (cause.field, cause.message)).collect()
}

/// The API of a case's kind.
fn api(namespace: &Namespace, case: &Case) -> (Api<DynamicObject>, ApiResource) {
    let kind = GroupVersionKind::gvk(GROUP, "v1alpha1", case.kind.name());
    let resource = ApiResource::from_gvk_with_plural(&kind, case.kind.plural());
    (Api::namespaced_with(namespace.cluster.client(), &namespace.name, &resource), resource)
}

/// Makes an object of the case's value, and gives it its status where it has one.
fn make(api: &Api<DynamicObject>, resource: &ApiResource, name: &str, value: &Value) -> Answer {
    let mut object = DynamicObject::new(name, resource);
    object.data = json!({"spec": value["spec"]});
    let made = cluster().wait(api.create(&PostParams::default(), &object))?;
    if value["status"].is_null() { Ok(made) } else { change(api, made, value, true) }
}

/// Writes the case's value into an object that is there: its spec, or its status.
fn change(api: &Api<DynamicObject>, mut object: DynamicObject, value: &Value, is_status: bool) -> Answer {
    let name = object.metadata.name.clone().unwrap();
    let field = if is_status { "status" } else { "spec" };
    let data = object.data.as_object_mut().unwrap();
    match value.get(field) {
        Some(value) => data.insert(field.to_owned(), value.clone()),
        None => data.remove(field),
    };
    let (api, parameters) = (api.clone(), PostParams::default());
    cluster().wait(async move {
        if is_status {
            api.replace_status(&name, &parameters, &object).await
        } else {
            api.replace(&name, &parameters, &object).await
        }
    })
}

#[test]
fn the_api_server_holds_every_object_to_the_rules() {
    let namespace = Namespace::new("rules");
    let cases = rule_cases::all();
    assert!(cases.len() > 80, "{}", cases.len());
    for (number, case) in cases.into_iter().enumerate() {
        let (api, resource) = api(&namespace, &case);
        let name = format!("case-{number}");
        let answer = match &case.old {
            None => make(&api, &resource, &name, &case.new),
            Some(old) => {
                let made = make(&api, &resource, &name, old)
                    .unwrap_or_else(|error| panic!("{}: {error}", case.name));
                let is_status = !old["status"].is_null();
                change(&api, made, &case.new, is_status)
            }
        };
        let mut found = broken(answer);
        let mut expected = case.expected;
        found.sort();
        expected.sort();
        // The API server tells the value too, and then the message as it stands in the rule.
        let fits = found.len() == expected.len()
            && found
                .iter()
                .zip(&expected)
                .all(|(found, rule)| found.0 == rule.0 && found.1.ends_with(&rule.1));
        assert!(fits, "{}: {found:#?}, not {expected:#?}", case.name);
    }
}

#[test]
fn a_status_that_was_never_written_says_so() {
    let namespace = Namespace::new("fresh");
    let case = rule_cases::fields().into_iter().find(|case| case.expected.is_empty()).unwrap();
    let (api, resource) = api(&namespace, &case);
    let made = make(&api, &resource, "fresh", &case.new).unwrap();
    assert_eq!(made.data["status"], json!({"observedGeneration": -1}));
    assert_eq!(made.data["spec"]["retries"], 2, "defaults are filled in");
}
