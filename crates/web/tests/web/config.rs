//! Settings: their names, defaults, help and errors.

use clap::{CommandFactory, Parser};
use proptest::prelude::*;
use secrecy::ExposeSecret;
use url::Url;
use web::config::{AuthArgs, BusArgs, DatabaseArgs, LogArgs, LogFormat, RateLimitArgs, ServerArgs};

#[derive(Debug, Parser)]
struct Settings {
    #[command(flatten)]
    server: ServerArgs<8008>,
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    rate_limit: RateLimitArgs,
    #[command(flatten)]
    bus: BusArgs,
    #[command(flatten)]
    database: DatabaseArgs,
    #[command(flatten)]
    auth: AuthArgs,
}

/// The settings of a command line, without the environment of the test.
fn parse(arguments: &[&str]) -> Result<Settings, clap::Error> {
    let fixed = ["test", "--database-url", "sqlite:/tmp/x?password=hunter2"];
    Settings::try_parse_from(fixed.iter().chain(arguments))
}

#[test]
fn names_and_defaults_are_those_of_the_interface() {
    let command = Settings::command();
    let setting = |name: &str| {
        let argument =
            command.get_arguments().find(|argument| argument.get_env().is_some_and(|env| env == name));
        let values = argument.unwrap_or_else(|| panic!("{name} is not a setting")).get_default_values();
        values.first().and_then(|value| value.to_str()).map(str::to_owned)
    };
    for (name, default) in [
        ("HOST", Some("0.0.0.0")),
        ("PORT", Some("8008")),
        ("DEBUG", Some("false")),
        ("LOG_FORMAT", Some("pretty")),
        ("USE_SSL", Some("false")),
        ("SSL_KEYFILE", Some("key.pem")),
        ("SSL_CERTFILE", Some("cert.pem")),
        ("RATE_LIMIT_ENABLED", Some("true")),
        ("RATE_LIMIT_REQUESTS_PER_MINUTE", Some("60")),
        ("RABBITMQ_HOST", Some("localhost")),
        ("RABBITMQ_PORT", Some("5672")),
        ("RABBITMQ_USER", Some("guest")),
        ("RABBITMQ_PASSWORD", Some("guest")),
        ("RABBITMQ_VHOST", Some("/")),
        ("BUS_URL", None),
        ("DATABASE_URL", None),
        ("SECRETS_KEY", None),
        ("USER_SERVICE_URL", None),
        ("SERVICE_TOKEN", None),
        ("AUTH_CACHE_SECONDS", Some("10")),
    ] {
        assert_eq!(setting(name).as_deref(), default, "{name}");
    }
}

#[test]
fn help_documents_every_setting_and_hides_secrets() {
    let mut command = Settings::command();
    for argument in command.get_arguments().filter(|argument| argument.get_env().is_some()) {
        assert!(argument.get_help().is_some(), "{argument}");
    }
    for secret in ["RABBITMQ_PASSWORD", "BUS_URL", "DATABASE_URL", "SECRETS_KEY", "SERVICE_TOKEN"] {
        let argument =
            command.get_arguments().find(|argument| argument.get_env().is_some_and(|env| env == secret));
        assert!(argument.is_some_and(clap::Arg::is_hide_env_values_set), "{secret}");
    }
    let help = command.render_long_help().to_string();
    assert!(help.contains("[default: 8008]"), "{help}");
}

#[test]
fn switches_take_the_four_words() {
    for (word, meaning) in [("true", true), ("1", true), ("false", false), ("0", false), ("True", true)] {
        let settings = parse(&[&format!("--debug={word}"), &format!("--use-ssl={word}")]).expect("a switch");
        assert_eq!((settings.log.debug, settings.server.tls.use_ssl), (meaning, meaning));
        assert_eq!(settings.server.server_config().tls.is_some(), meaning);
    }
    assert!(parse(&["--debug"]).expect("a bare switch").log.debug);
    assert_eq!(parse(&["--log-format", "json"]).expect("a format").log.log_format, LogFormat::Json);
}

#[test]
fn errors_name_the_setting_and_what_it_must_be() {
    for (argument, name, meaning) in [
        ("--port=many", "PORT", "from 0 to 65535"),
        ("--port=70000", "PORT", "from 0 to 65535"),
        ("--debug=perhaps", "DEBUG", "true, false, 1 or 0"),
        ("--rate-limit-requests-per-minute=0", "RATE_LIMIT_REQUESTS_PER_MINUTE", "from 1 to"),
        ("--log-format=xml", "LOG_FORMAT", "pretty, json"),
        ("--user-service-url=localhost:8001", "USER_SERVICE_URL", "such as http://user-auth:8001"),
        ("--user-service-url=user-auth", "USER_SERVICE_URL", "such as http://user-auth:8001"),
        ("--auth-cache-seconds=301", "AUTH_CACHE_SECONDS", "0..=300"),
    ] {
        let error = parse(&[argument]).expect_err(argument).to_string();
        assert!(error.contains(name) && error.contains(meaning), "{error}");
    }
    let missing = Settings::try_parse_from(["test"]).expect_err("no database").to_string();
    assert!(missing.contains("DATABASE_URL"), "{missing}");
}

#[test]
fn secrets_are_not_in_debug() {
    let secrets = [
        "--rabbitmq-password=hunter2",
        "--bus-url=amqp://u:hunter2@h",
        "--secrets-key=hunter2",
        "--service-token=hunter2",
    ];
    let settings = parse(&secrets).expect("settings");
    assert!(!format!("{settings:?}").contains("hunter2"));
    assert!(!format!("{:?}", settings.bus.bus_url()).contains("hunter2"));
}

#[test]
fn authentication_has_defaults_and_takes_a_url() {
    let defaults = AuthArgs::default();
    let unset = parse(&[]).expect("settings").auth;
    assert_eq!(unset.auth_cache_seconds, defaults.auth_cache_seconds);
    assert!(unset.user_service_url.is_none() && unset.service_token.is_none());
    let set = parse(&["--user-service-url=https://gateway/user-auth"]).expect("settings").auth;
    assert_eq!(set.user_service_url.as_ref().map(Url::as_str), Some("https://gateway/user-auth"));
}

#[test]
fn the_broker_is_one_url() {
    let url =
        |arguments: &[&str]| parse(arguments).expect("settings").bus.bus_url().expose_secret().to_owned();
    assert_eq!(url(&[]), "amqp://guest:guest@localhost:5672/%2F");
    let parts = [
        "--rabbitmq-user=a@b",
        "--rabbitmq-password=p/w:?#%",
        "--rabbitmq-vhost=team one",
        "--rabbitmq-port=1",
    ];
    assert_eq!(url(&parts), "amqp://a%40b:p%2Fw%3A%3F%23%25@localhost:1/team%20one");
    assert_eq!(url(&["--bus-url=memory:", "--rabbitmq-host=elsewhere"]), "memory:");
}

proptest! {
    #[test]
    fn user_password_and_virtual_host_survive_the_url(user in "\\PC{1,12}", password in "\\PC{1,12}", vhost in "\\PC{1,12}".prop_filter("URLs drop them", |vhost| ![".", ".."].contains(&vhost.as_str()))) {
        let arguments =
            [format!("--rabbitmq-user={user}"), format!("--rabbitmq-password={password}"), format!("--rabbitmq-vhost={vhost}")];
        let settings = parse(&arguments.each_ref().map(String::as_str)).expect("settings");
        let url = Url::parse(settings.bus.bus_url().expose_secret()).expect("a URL");
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        prop_assert_eq!(url.host_str(), Some("localhost"));
        prop_assert_eq!(decode(url.username()), user);
        prop_assert_eq!(decode(url.password().unwrap_or_default()), password);
        prop_assert_eq!(decode(url.path().trim_start_matches('/')), vhost);
        prop_assert_eq!(url.path().matches('/').count(), 1);
    }
}
