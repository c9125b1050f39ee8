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
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Eks, Self::Aks, Self::Gke, Self::Openshift, Self::Kops, Self::Other];

    /// What [`as_str`](Self::as_str) has written; what it has not is somebody else.
    pub(crate) fn read(text: &str) -> Self {
        Self::ALL.into_iter().find(|provider| provider.as_str() == text).unwrap_or(Self::Other)
    }

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
