//! Instances in the lab: what is accepted, changed and taken out.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::world::{INSTANCES, User, World};

store::test_on_both! {
    async fn an_instance_is_added_changed_and_taken_out(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        let (account, old) = (world.account(User::Ada).await?, world.old().await?);
        let added = world.post(User::Ada, INSTANCES, World::new_instance(&account, &old)).await?;
        let path = format!("{INSTANCES}/{}", added.text(201, "/id")?);
        let instance = added.json(201)?;
        assert_eq!(instance["is_shadow_mode"], true, "unless one says otherwise");
        assert_eq!(instance["simulated"], true);
        assert_eq!(world.get(User::Ada, &path).await?.json(200)?, instance);
        assert_eq!(world.get(User::Ada, INSTANCES).await?.json(200)?["instances"], json!([instance]));

        let again = world.post(User::Ada, INSTANCES, World::new_instance(&account, &old)).await?;
        again.problem(409, "conflict")?;

        let body = json!({ "is_shadow_mode": false, "metadata": { "asg_name": "eks-general" } });
        let changed = world.patch(User::Ada, &path, body).await?;
        let changed = changed.json(200)?;
        assert_eq!(changed["is_shadow_mode"], false);
        assert_eq!(changed["metadata"]["asg_name"], "eks-general");
        for kept in ["id", "instance_id", "pipeline_mode", "cluster_membership", "created_at"] {
            assert_eq!(changed[kept], instance[kept], "{kept}");
        }
        assert_eq!(world.get(User::Ada, &path).await?.json(200)?, changed);
        world.patch(User::Ada, &path, json!({ "instance_id": "i-0123456789abcdef0" })).await?
            .problem(422, "invalid")?;
        world.patch(User::Ada, &path, json!({ "cluster_membership": {} })).await?
            .refuses_field("cluster_membership.cluster_name")?;

        world.delete(User::Ada, &path).await?.json(204)?;
        for answer in [
            world.get(User::Ada, &path).await?,
            world.delete(User::Ada, &path).await?,
            world.patch(User::Ada, &path, json!({})).await?,
            world.post(User::Ada, &format!("{path}/evaluate"), Value::Null).await?,
        ] {
            answer.problem(404, "not_found")?;
        }
        Ok(())
    }

    async fn what_is_no_instance_is_refused(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        let (account, old) = (world.account(User::Ada).await?, world.old().await?);
        let refused = [
            ("account_id", json!("nothing"), "account_id"),
            ("account_id", json!("a\u{0}"), "account_id"),
            ("instance_id", json!("web-1"), "instance_id"),
            ("instance_id", json!(""), "instance_id"),
            ("instance_type", json!("large"), "instance_type"),
            ("availability_zone", json!("nowhere"), "availability_zone"),
            ("availability_zone", json!("eu-central-1a"), "availability_zone"),
            ("pipeline_mode", json!("kubernetes"), "pipeline_mode"),
            ("is_shadow_mode", json!("no"), "is_shadow_mode"),
            ("cluster_membership", json!({}), "cluster_membership.cluster_name"),
            ("cluster_membership", json!({ "cluster_name": "" }), "cluster_membership.cluster_name"),
            ("cluster_membership", json!({ "cluster_name": "shop", "role": "a\nb" }), "cluster_membership.role"),
            ("metadata", json!({ "asg_name": "a\u{0}" }), "metadata.asg_name"),
        ];
        for (field, value, at) in refused {
            let mut instance = World::new_instance(&account, &old);
            instance[field] = value;
            let answer = world.post(User::Ada, INSTANCES, instance.clone()).await?;
            answer.refuses_field(at).with_context(|| instance.to_string())?;
        }
        for path in ["/surprise", "/metadata/surprise", "/cluster_membership/surprise"] {
            let mut instance = World::new_instance(&account, &old);
            instance["metadata"] = json!({});
            let (parent, name) = path.rsplit_once('/').unwrap();
            instance.pointer_mut(parent).unwrap()[name] = 1.into();
            let answer = world.post(User::Ada, INSTANCES, instance).await?;
            answer.problem(422, "invalid").context(path)?;
        }
        let of_ada = World::new_instance(&account, &old);
        world.post(User::Bob, INSTANCES, of_ada).await?.refuses_field("account_id")?;
        assert_eq!(world.get(User::Ada, INSTANCES).await?.json(200)?["instances"], json!([]));
        Ok(())
    }

    async fn a_pipeline_that_is_not_there_is_told(database: TestDatabase) -> Result<()> {
        let world = World::start(&database).await?;
        let (account, old) = (world.account(User::Ada).await?, world.old().await?);
        let mut new = World::new_instance(&account, &old);
        (new["pipeline_mode"], new["cluster_membership"]) = (json!("LINEAR"), json!({}));
        let id = world.post(User::Ada, INSTANCES, new).await?.text(201, "/id")?;
        let answer = world.post(User::Ada, &format!("{INSTANCES}/{id}/evaluate"), Value::Null).await?;
        let detail = answer.problem(409, "conflict")?;
        assert!(detail.contains("LINEAR") && detail.contains("KUBERNETES"), "{detail}");
        Ok(())
    }
}
