//! Authentication requests of the other services.

use bus::{Bus, ServeOptions};
use contracts::{auth::AuthRequest, queues::Service};
use web::Shutdown;

use crate::Accounts;

/// Answers the authentication queue of every service that asks, and finishes what is under way when the process stops.
pub(crate) fn spawn(accounts: &Accounts, bus: &Bus, shutdown: &Shutdown) {
    for route in Service::ALL.map(Service::auth_route) {
        let (accounts, bus, stop) = (accounts.clone(), bus.clone(), shutdown.token());
        let answer = move |request: AuthRequest, _| {
            let accounts = accounts.clone();
            async move {
                let key = request.api_key.expose();
                accounts.verify_text(request.request_id, key, accounts.now()).await
            }
        };
        shutdown.spawn_service(route.requests, async move {
            bus.serve(route, ServeOptions::default(), stop, answer).await;
        });
    }
}
