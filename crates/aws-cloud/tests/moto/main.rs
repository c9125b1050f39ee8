//! AWS as moto plays it: what is sent is understood, and what is answered. Where moto does otherwise than AWS, the test says so, and
//! `tests/replayed` has AWS's answer. Where moto is missing the tests are reported as ignored, with the reason beside their name.

mod account;
mod own;

use std::process::ExitCode;

use anyhow::Result;
use cloud::testing;
use libtest_mimic::{Arguments, Failed, Trial};
use testkit::Moto;

use account::Account;

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = vec![
        // Not all of `a_token_launches_once`: moto takes no notice of tokens. `tests/replayed` has the rest.
        trial("an_instance_is_launched_and_ended", async |account| {
            testing::an_instance_is_launched_and_ended(account).await
        }),
        trial("instances_move_in_and_out_of_groups", async |account| {
            testing::instances_move_in_and_out_of_groups(account).await
        }),
        trial("a_member_is_ended_without_another", async |account| {
            testing::a_member_is_ended_without_another(account).await
        }),
        trial("what_is_not_there_is_not_read", async |account| {
            testing::what_is_not_there_is_not_read(account).await
        }),
        trial("what_is_not_there_is_neither_launched_nor_ended", async |account| {
            testing::what_is_not_there_is_neither_launched_nor_ended(account).await
        }),
        trial("a_launch_is_told_whole", own::a_launch_is_told_whole),
        trial("a_template_may_have_network_interfaces", own::a_template_may_have_network_interfaces),
        trial("a_full_group_takes_no_more", own::a_full_group_takes_no_more),
        trial("what_moto_fails_at_is_not_known", own::what_moto_fails_at_is_not_known),
        trial("a_zone_has_offers", own::a_zone_has_offers),
        trial("an_eks_cluster_is_found", own::an_eks_cluster_is_found),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(name: &str, test: impl AsyncFnOnce(&Account) -> Result<()> + Send + 'static) -> Trial {
    let trial = Trial::test(name, move || {
        let runtime = tokio::runtime::Runtime::new().map_err(|error| Failed::from(error.to_string()))?;
        let run = async { test(&Account::new().await?).await };
        runtime.block_on(run).map_err(|error| Failed::from(format!("{error:?}")))
    });
    match Moto::missing() {
        Some(why) => trial.with_kind(why).with_ignored_flag(true),
        None => trial,
    }
}
