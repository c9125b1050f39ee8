//! Which objects a controller's objects own: found without a look at all others, adopted and released by their labels
//! (`pkg/controller/controller_ref_manager.go`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Value, json};

use super::fields::{list, text, uid};
use super::{Cluster, Key, Queue};
use crate::kinds::Kind;
use crate::object::{self, Object};
use crate::selector::LabelSelector;
use crate::status::ApiError;
use crate::store::Change;

/// The objects of one kind by their owners of another. It knows names alone: what they name is read when it is needed,
/// so that nothing here is older than what the API tells.
#[derive(Debug)]
pub(crate) struct Owned {
    kind: &'static Kind,
    owner_kind: &'static Kind,
    groups: HashMap<Group, BTreeSet<String>>,
    group_of: HashMap<(String, String), Group>,
    /// By namespace and name.
    selectors: HashMap<String, BTreeMap<String, LabelSelector>>,
    /// What an adopted object is given, and a released one loses.
    finalizer: Option<&'static str>,
}

/// Namespace and uid of the controller; those without one have the empty uid.
type Group = (String, String);

/// The owner reference by which an object says who controls it (`GetControllerOf`).
pub(crate) fn controller_of(object: &Value) -> Option<&Value> {
    list(object, "/metadata/ownerReferences").iter().find(|reference| reference["controller"] == true)
}

/// Whether the controller of `object` is this one.
pub(crate) fn is_controlled_by(object: &Value, owner: &Value) -> bool {
    controller_of(object).is_some_and(|reference| text(reference, "/uid") == uid(owner))
}

impl Owned {
    pub(crate) fn new(kind: &'static Kind, owner_kind: &'static Kind) -> Owned {
        Owned {
            kind,
            owner_kind,
            groups: HashMap::new(),
            group_of: HashMap::new(),
            selectors: HashMap::new(),
            finalizer: None,
        }
    }

    /// Gives everything that is adopted a finalizer.
    pub(crate) fn with_finalizer(self, finalizer: &'static str) -> Owned {
        Owned { finalizer: Some(finalizer), ..self }
    }

    /// Notes a change of an owner or of an owned object, and asks for a look at the owners that it concerns.
    pub(crate) fn observe(&mut self, change: &Change, queue: &mut Queue) {
        if std::ptr::eq(change.kind, self.owner_kind) {
            self.observe_owner(change);
            queue.add(Key::of(self.owner_kind, &change.object));
        } else if std::ptr::eq(change.kind, self.kind) {
            self.observe_owned(change, queue);
        }
    }

    fn observe_owner(&mut self, change: &Change) {
        let (namespace, name) = (object::namespace(&change.object), object::name(&change.object));
        let selectors = self.selectors.entry(namespace.to_owned()).or_default();
        match change.after().and_then(|owner| LabelSelector::of_workload(owner)) {
            Some(selector) => drop(selectors.insert(name.to_owned(), selector)),
            None => drop(selectors.remove(name)),
        }
        if selectors.is_empty() {
            self.selectors.remove(namespace);
        }
    }

    fn observe_owned(&mut self, change: &Change, queue: &mut Queue) {
        for object in change.before.iter().chain([&change.object]) {
            if let Some(owner) = controller_of(object).filter(|owner| owner["kind"] == self.owner_kind.kind) {
                queue.add(Key::new(self.owner_kind, object::namespace(object), text(owner, "/name")));
            }
        }
        let Some(object) = change.after() else {
            let (namespace, name) = (object::namespace(&change.object), object::name(&change.object));
            return self.forget(namespace, name);
        };
        self.note(object);
        if controller_of(object).is_some() {
            return;
        }
        let namespace = object::namespace(object);
        for (name, selector) in self.selectors.get(namespace).into_iter().flatten() {
            if selector.matches(object) {
                queue.add(Key::new(self.owner_kind, namespace, name));
            }
        }
    }

    /// Notes an object as it is; also one that the controller has just made, whose change comes later.
    pub(crate) fn note(&mut self, object: &Value) {
        let (namespace, name) = (object::namespace(object), object::name(object));
        self.forget(namespace, name);
        let owner = match controller_of(object) {
            Some(owner) if owner["kind"] == self.owner_kind.kind => text(owner, "/uid"),
            Some(_) => return,
            None => "",
        };
        let group = (namespace.to_owned(), owner.to_owned());
        self.groups.entry(group.clone()).or_default().insert(name.to_owned());
        self.group_of.insert((namespace.to_owned(), name.to_owned()), group);
    }

    fn forget(&mut self, namespace: &str, name: &str) {
        let Some(group) = self.group_of.remove(&(namespace.to_owned(), name.to_owned())) else { return };
        if let Some(names) = self.groups.get_mut(&group) {
            names.remove(name);
            if names.is_empty() {
                self.groups.remove(&group);
            }
        }
    }

    /// The objects of a group, as they are now.
    fn members(&mut self, namespace: &str, owner: &str, cluster: &Cluster<'_>) -> Vec<Arc<Object>> {
        let names = self.groups.get(&(namespace.to_owned(), owner.to_owned())).cloned().unwrap_or_default();
        let mut members = Vec::with_capacity(names.len());
        for name in &names {
            match cluster.api.get(self.kind, namespace, name) {
                Ok(object) if controller_of(&object).map_or("", |owner| text(owner, "/uid")) == owner => {
                    members.push(object);
                }
                Ok(object) => self.note(&object),
                Err(_) => self.forget(namespace, name),
            }
        }
        members
    }

    /// The names of what an owner had at last.
    pub(crate) fn names_of(&self, owner: &Value) -> Vec<String> {
        let group = (object::namespace(owner).to_owned(), uid(owner).to_owned());
        self.groups.get(&group).into_iter().flatten().cloned().collect()
    }

    /// The objects that have this controller, whatever their labels.
    pub(crate) fn of(&mut self, owner: &Value, cluster: &Cluster<'_>) -> Vec<Arc<Object>> {
        self.members(object::namespace(owner), uid(owner), cluster)
    }

    /// The objects of an owner, after it has adopted those without a controller that it selects and released those that
    /// it no longer selects (`ClaimObject`).
    pub(crate) fn claim(
        &mut self,
        owner: &Value,
        cluster: &Cluster<'_>,
    ) -> Result<Vec<Arc<Object>>, ApiError> {
        let Some(selector) = LabelSelector::of_workload(owner) else { return Ok(Vec::new()) };
        let namespace = object::namespace(owner);
        let (mut claimed, foreign): (Vec<_>, Vec<_>) =
            self.of(owner, cluster).into_iter().partition(|object| selector.matches(object));
        if object::is_terminating(owner) {
            return Ok(claimed);
        }
        for object in foreign {
            self.release(&object, owner, cluster)?;
        }
        for orphan in self.members(namespace, "", cluster) {
            if !object::is_terminating(&orphan) && selector.matches(&orphan) {
                claimed.push(self.adopt(&orphan, owner, cluster)?);
            }
        }
        Ok(claimed)
    }

    fn adopt(
        &mut self,
        orphan: &Value,
        owner: &Value,
        cluster: &Cluster<'_>,
    ) -> Result<Arc<Object>, ApiError> {
        let (namespace, name) = (object::namespace(orphan), object::name(orphan));
        let adopted = cluster.api.update(self.kind, namespace, name, |object| {
            object["metadata"]["uid"] = uid(orphan).into();
            // Somebody else may have been faster.
            if controller_of(object).is_none() {
                push(object, "ownerReferences", object::controller_reference(owner));
                if let Some(finalizer) = self.finalizer {
                    push(object, "finalizers", finalizer.into());
                }
            }
        })?;
        self.note(&adopted);
        Ok(adopted)
    }

    fn release(&mut self, object: &Value, owner: &Value, cluster: &Cluster<'_>) -> Result<(), ApiError> {
        let (namespace, name) = (object::namespace(object), object::name(object));
        let released = cluster.api.update(self.kind, namespace, name, |object| {
            remove(object, "ownerReferences", |reference| text(reference, "/uid") == uid(owner));
            if let Some(finalizer) = self.finalizer {
                remove(object, "finalizers", |present| present == finalizer);
            }
        });
        match released {
            Ok(released) => self.note(&released),
            Err(error) if error.code == 404 => self.forget(namespace, name),
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

/// Adds an entry to a list of the metadata, once.
fn push(object: &mut Value, field: &str, entry: Value) {
    let entries = &mut object["metadata"][field];
    if !entries.is_array() {
        *entries = json!([]);
    }
    if let Some(entries) = entries.as_array_mut()
        && !entries.contains(&entry)
    {
        entries.push(entry);
    }
}

/// Takes entries out of a list of the metadata.
pub(crate) fn remove(object: &mut Value, field: &str, unwanted: impl Fn(&Value) -> bool) {
    let Some(entries) = object["metadata"][field].as_array_mut() else { return };
    entries.retain(|entry| !unwanted(entry));
    if entries.is_empty() {
        object::set_or_remove(&mut object["metadata"], field, &Value::Null);
    }
}
