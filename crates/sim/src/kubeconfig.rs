//! The kubeconfig of a simulated cluster.

/// A kubeconfig for one user of the server at `url`. JSON is YAML too, and quotes whatever must be quoted.
pub(crate) fn render(url: &str, token: &str) -> String {
    let quoted = |text: &str| serde_json::Value::from(text).to_string();
    let (url, token) = (quoted(url), quoted(token));
    format!(
        "apiVersion: v1\n\
         kind: Config\n\
         clusters:\n\
         - name: kubesage-sim\n  \
           cluster:\n    \
             server: {url}\n\
         users:\n\
         - name: kubesage-sim\n  \
           user:\n    \
             token: {token}\n\
         contexts:\n\
         - name: kubesage-sim\n  \
           context:\n    \
             cluster: kubesage-sim\n    \
             user: kubesage-sim\n\
         current-context: kubesage-sim\n"
    )
}
