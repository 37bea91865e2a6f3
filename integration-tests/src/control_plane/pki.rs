//! The certificates of a control plane: one authority for servers and clients, one for the aggregation layer, and the
//! key that signs the tokens of service accounts.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::kubeconfig::{self, User};

/// Names of the API server for clients inside a cluster; 10.96.0.1 is the first address of the service range.
const API_SERVER_NAMES: [&str; 6] =
    ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", "127.0.0.1", "10.96.0.1"];

/// A folder of certificates, named as kubeadm names them.
#[derive(Debug)]
pub(crate) struct Pki {
    folder: PathBuf,
    authority: Authority,
}

#[derive(Debug)]
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Pki {
    /// Creates everything that the API server is started with.
    pub(crate) fn make(folder: &Path) -> anyhow::Result<Self> {
        let authority = Authority::make("kubernetes-ca")?;
        let front_proxy = Authority::make("front-proxy-ca")?;
        let pki = Self { folder: folder.to_owned(), authority };
        pki.write("ca.crt", &pki.authority.pem)?;
        pki.write("ca.key", &pki.authority.issuer.key().serialize_pem())?;
        pki.write("front-proxy-ca.crt", &front_proxy.pem)?;

        let names: Vec<String> = API_SERVER_NAMES.iter().map(|&name| name.to_owned()).collect();
        pki.keep("apiserver", &pki.authority.server("kube-apiserver", names)?)?;
        // Not system:masters: the API server's rights on a kubelet are granted by system:kubelet-api-admin.
        pki.keep("apiserver-kubelet-client", &pki.authority.client("kube-apiserver-kubelet-client", None)?)?;
        pki.keep("front-proxy-client", &front_proxy.client("front-proxy-client", None)?)?;

        let tokens = KeyPair::generate().context("making the key of service accounts")?;
        pki.write("sa.key", &tokens.serialize_pem())?;
        pki.write("sa.pub", &tokens.public_key_pem())?;
        Ok(pki)
    }

    /// The path of one of its files.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the kubeconfig of a user with a certificate of the authority; returns its path.
    pub(crate) fn kubeconfig(
        &self,
        server: &str,
        user: &str,
        group: Option<&str>,
    ) -> anyhow::Result<PathBuf> {
        let (certificate, key) = self.authority.client(user, group)?;
        let path = self.path(&format!("{}.kubeconfig", user.replace(':', "-")));
        let user = User::Certificate { certificate: &certificate, key: &key };
        kubeconfig::write(&path, server, self.authority.pem.as_bytes(), &user)?;
        Ok(path)
    }

    fn keep(&self, name: &str, (certificate, key): &(String, String)) -> anyhow::Result<()> {
        self.write(&format!("{name}.crt"), certificate)?;
        self.write(&format!("{name}.key"), key)
    }

    fn write(&self, name: &str, contents: &str) -> anyhow::Result<()> {
        let path = self.path(name);
        std::fs::write(&path, contents).with_context(|| format!("writing {}", path.display()))
    }
}

impl Authority {
    fn make(name: &str) -> anyhow::Result<Self> {
        let mut params = params(name, None, Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate().with_context(|| format!("making the key of {name}"))?;
        let certificate = params.self_signed(&key).with_context(|| format!("signing {name}"))?;
        Ok(Self { pem: certificate.pem(), issuer: Issuer::new(params, key) })
    }

    fn server(&self, name: &str, names: Vec<String>) -> anyhow::Result<(String, String)> {
        self.leaf(params(name, None, names)?, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A client certificate: Kubernetes reads the user from CN and the group from O.
    fn client(&self, user: &str, group: Option<&str>) -> anyhow::Result<(String, String)> {
        self.leaf(params(user, group, Vec::new())?, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn leaf(
        &self,
        mut params: CertificateParams,
        usage: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<(String, String)> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().context("making a key")?;
        let certificate = params.signed_by(&key, &self.issuer).context("signing a certificate")?;
        Ok((certificate.pem(), key.serialize_pem()))
    }
}

fn params(name: &str, group: Option<&str>, names: Vec<String>) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(names).context("naming a certificate")?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    if let Some(group) = group {
        params.distinguished_name.push(DnType::OrganizationName, group);
    }
    Ok(params)
}
