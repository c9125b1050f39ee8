//! EKS clusters.

use aws_sdk_eks::types::{Cluster, ClusterStatus};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use cloud::{CloudError, EksCluster};

use crate::{
    AwsCloud,
    error::{refused, strange},
};

impl AwsCloud {
    pub(crate) async fn find_eks_cluster(&self, name: &str) -> Result<Option<EksCluster>, CloudError> {
        let described = match self.ask(|| self.eks.describe_cluster().name(name).send()).await {
            Ok(described) => described,
            Err(CloudError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let told = described.cluster().ok_or_else(|| strange("no cluster"))?;
        cluster(name, told).map(Some)
    }
}

fn cluster(name: &str, told: &Cluster) -> Result<EksCluster, CloudError> {
    let authority = told.certificate_authority().and_then(|authority| authority.data());
    // One that is being made has neither.
    let Some((endpoint, authority)) = told.endpoint().zip(authority) else {
        let status = told.status().map(ClusterStatus::as_str).unwrap_or_default();
        let message = format!("the EKS cluster {name} cannot be reached yet: it is {status}");
        return Err(refused("ResourceInUseException", &message));
    };
    let pem = BASE64_STANDARD.decode(authority).ok().and_then(|pem| String::from_utf8(pem).ok());
    let pem = pem.ok_or_else(|| strange("a certificate authority that is no PEM in Base64"))?;
    Ok(EksCluster { name: name.to_owned(), endpoint: endpoint.to_owned(), certificate_authority: pem })
}

#[cfg(test)]
mod tests {
    use aws_sdk_eks::types::Certificate;

    use super::*;

    fn told() -> aws_sdk_eks::types::builders::ClusterBuilder {
        let authority = BASE64_STANDARD.encode("-----BEGIN CERTIFICATE-----");
        let authority = Certificate::builder().data(authority).build();
        Cluster::builder().name("shop").certificate_authority(authority)
    }

    #[test]
    fn a_cluster_is_read() {
        let endpoint = "https://ABC.gr7.us-east-1.eks.amazonaws.com";
        let read = cluster("shop", &told().endpoint(endpoint).build()).unwrap();
        assert_eq!(read.endpoint, endpoint);
        assert_eq!(read.certificate_authority, "-----BEGIN CERTIFICATE-----");
    }

    #[test]
    fn one_that_is_being_made_is_refused() {
        let refused = cluster("shop", &told().status(ClusterStatus::Creating).build()).unwrap_err();
        assert!(refused.to_string().contains("it is CREATING"), "{refused}");
    }
}
