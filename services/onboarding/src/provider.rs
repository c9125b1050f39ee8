//! Who runs the cluster.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who runs the cluster, as the user chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Provider {
    /// Amazon.
    Eks,
    /// Microsoft.
    Aks,
    /// Google.
    Gke,
    /// Red Hat.
    Openshift,
    /// The user, by kOps.
    Kops,
    /// Somebody else.
    Other,
}

impl Provider {
    /// The provider as it is written on the wire and in the database.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Eks => "eks",
            Self::Aks => "aks",
            Self::Gke => "gke",
            Self::Openshift => "openshift",
            Self::Kops => "kops",
            Self::Other => "other",
        }
    }
}
