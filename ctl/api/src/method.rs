//! Requests, replies, and the table of methods.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{API_VERSION, ApiError, ErrorCode, MAX_LINE_BYTES, params::*, results::*};

/// Ties the parameters of a method to its name and to what comes back.
pub trait Method: Serialize + DeserializeOwned {
    /// Name in the `method` field.
    const NAME: &'static str;
    /// Type of `result`.
    type Result: Serialize + DeserializeOwned;
    /// Type of each `event` before the result; [`NoEvent`] for methods that send none.
    type Event: Serialize + DeserializeOwned;
    /// The call with these parameters.
    fn into_call(self) -> Call;
}

macro_rules! methods {
    ($($(#[$doc:meta])* $name:literal $variant:ident($params:ty) -> $result:ty, $event:ty;)*) => {
        /// One call: the method and its parameters.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        #[serde(tag = "method", content = "params")]
        pub enum Call {
            $($(#[$doc])* #[serde(rename = $name)] $variant($params),)*
        }

        /// The names of all methods.
        pub const METHODS: &[&str] = &[$($name),*];

        impl Call {
            /// Name of the method.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => $name,)* }
            }
        }

        $(impl Method for $params {
            const NAME: &'static str = $name;
            type Result = $result;
            type Event = $event;
            fn into_call(self) -> Call { Call::$variant(self) }
        })*
    };
}

methods! {
    /// What this node is and which networks it is in.
    "status" Status(StatusParams) -> StatusResult, NoEvent;
    /// Brings a network up (interface, addresses, routes); remembered over restarts.
    "up" Up(UpParams) -> UpResult, NoEvent;
    /// Takes a network down, keeping the membership; remembered over restarts.
    "down" Down(DownParams) -> DownResult, NoEvent;
    /// Makes a new network owned by this node, and brings it up.
    "network.create" NetworkCreate(NetworkCreateParams) -> NetworkCreateResult, NoEvent;
    /// Makes a one-shot invite. Owner and admins only.
    "network.invite" NetworkInvite(NetworkInviteParams) -> NetworkInviteResult, NoEvent;
    /// Joins the network of an invite; events tell the progress.
    "network.join" NetworkJoin(NetworkJoinParams) -> NetworkJoinResult, JoinEvent;
    /// The invites of a network and what became of them.
    "network.invites" NetworkInvites(NetworkInvitesParams) -> NetworkInvitesResult, NoEvent;
    /// Withdraws an invite that was not used yet. Owner and admins only.
    "network.invite_cancel" NetworkInviteCancel(NetworkInviteCancelParams) -> NetworkInviteCancelResult, NoEvent;
    /// The networks of this node.
    "network.list" NetworkList(NetworkListParams) -> NetworkListResult, NoEvent;
    /// Chooses the network that commands mean when they name none.
    "network.switch" NetworkSwitch(NetworkSwitchParams) -> NetworkSwitchResult, NoEvent;
    /// Forgets a network and its keys on this node. Does not revoke the membership.
    "network.leave" NetworkLeave(NetworkLeaveParams) -> NetworkLeaveResult, NoEvent;
    /// Hands out the owner key of a network, to be sealed by the client. Root only.
    "network.export_owner" NetworkExportOwner(NetworkExportOwnerParams) -> OwnerExport, NoEvent;
    /// Takes an owner key from a backup; the node becomes the owner's node again. Root only.
    "network.import_owner" NetworkImportOwner(NetworkImportOwnerParams) -> NetworkImportOwnerResult, NoEvent;
    /// Members of a network.
    "members.list" MembersList(MembersListParams) -> MembersListResult, NoEvent;
    /// Revokes a member by its node key. Owner and admins only.
    "members.revoke" MembersRevoke(MembersRevokeParams) -> MembersRevokeResult, NoEvent;
    /// Replaces the tags of a member. Owner and admins only.
    "members.tag" MembersTag(MembersTagParams) -> MemberChanged, NoEvent;
    /// Gives a member another name. Owner and admins only.
    "members.rename" MembersRename(MembersRenameParams) -> MemberChanged, NoEvent;
    /// Makes a member an admin. Owner only.
    "admins.add" AdminsAdd(AdminsAddParams) -> MemberChanged, NoEvent;
    /// Takes the admin role from a member. Owner only.
    "admins.remove" AdminsRemove(AdminsRemoveParams) -> MemberChanged, NoEvent;
    /// The policy rules in force.
    "policy.get" PolicyGet(PolicyGetParams) -> PolicyResult, NoEvent;
    /// Replaces all policy rules. Owner and admins only.
    "policy.set" PolicySet(PolicySetParams) -> PolicyResult, NoEvent;
    /// Sessions and paths to the members of a network.
    "peers" Peers(PeersParams) -> PeersResult, NoEvent;
    /// Measures the round trip to a member inside the session; one event per probe.
    "ping" Ping(PingParams) -> PingResult, PingEvent;
    /// What NATs and firewalls on the way to the internet do to this node's packets.
    "netcheck" Netcheck(NetcheckParams) -> NetcheckResult, NoEvent;
    /// Every path to a member, and why which one is used.
    "path" Path(PathParams) -> PathResult, NoEvent;
    /// The hops of the path in use.
    "trace" Trace(TraceParams) -> TraceResult, NoEvent;
    /// Checks what usually goes wrong on this machine.
    "doctor" Doctor(DoctorParams) -> DoctorResult, NoEvent;
    /// The relays this node uses, and what it relays itself.
    "relay.status" RelayStatus(RelayStatusParams) -> RelayStatusResult, NoEvent;
    /// Versions of the daemon and of the API.
    "version" Version(VersionParams) -> VersionResult, NoEvent;
}

/// A line from client to daemon: `{"api":1,"id":7,"method":"peers","params":{..}}`.
#[derive(Clone, Debug, Serialize)]
pub struct Request {
    /// API version the client speaks.
    pub api: u32,
    /// Chosen by the client; every reply to this request carries it.
    pub id: u64,
    /// Method and parameters.
    #[serde(flatten)]
    pub call: Call,
}

/// What [`Request::parse`] looks at before it trusts the parameters.
#[derive(Deserialize)]
struct Envelope {
    api: u32,
    id: u64,
    method: String,
    #[serde(default)]
    params: Option<Value>,
}

impl Request {
    /// A request in the version of this crate.
    pub fn new(id: u64, method: impl Method) -> Self {
        Self { api: API_VERSION, id, call: method.into_call() }
    }

    /// The line to write, newline included.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidInput`] when the request does not fit in [`MAX_LINE_BYTES`].
    pub fn to_line(&self) -> Result<String, ApiError> {
        line_of(self)
    }

    /// Reads one line. Absent `params` mean all defaults.
    ///
    /// # Errors
    /// The [`Reply`] to send back: `bad_request` (with id 0 when the id cannot be read), `unsupported_api`, `unknown_method`
    /// or `invalid_input` for parameters.
    pub fn parse(line: &[u8]) -> Result<Self, Reply> {
        let envelope: Envelope = serde_json::from_slice(line).map_err(|error| {
            let id = serde_json::from_slice::<Value>(line).ok().and_then(|v| v.get("id")?.as_u64()).unwrap_or(0);
            Reply::error(id, ApiError::new(ErrorCode::BadRequest, format!("not a request of this API; {error}")))
        })?;
        let Envelope { api, id, method, params } = envelope;
        if api != API_VERSION {
            let text = format!("API version {api} is not supported; this daemon speaks version {API_VERSION}");
            return Err(Reply::error(id, ApiError::new(ErrorCode::UnsupportedApi, text).next("netctl version")));
        }
        if !METHODS.contains(&method.as_str()) {
            let text = format!(
                "unknown method {:.64}; this daemon may be older than its client",
                method.escape_debug().to_string()
            );
            return Err(Reply::error(id, ApiError::new(ErrorCode::UnknownMethod, text).next("netctl version")));
        }
        let params = params.filter(|p| !p.is_null()).unwrap_or_else(|| Value::Object(serde_json::Map::new()));
        let call =
            serde_json::from_value(serde_json::json!({ "method": method, "params": params })).map_err(|error| {
                Reply::error(id, ApiError::new(ErrorCode::InvalidInput, format!("parameters of {method}; {error}")))
            })?;
        Ok(Self { api, id, call })
    }
}

/// What a reply carries.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Body {
    /// Progress; more replies follow.
    Event(Value),
    /// Success; last reply of the request.
    Result(Value),
    /// Failure; last reply of the request.
    Error(ApiError),
}

/// A line from daemon to client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reply {
    /// API version of the daemon.
    pub api: u32,
    /// `id` of the request, 0 when it could not be read.
    pub id: u64,
    /// Event, result or error.
    #[serde(flatten)]
    pub body: Body,
}

impl Reply {
    /// The final reply of a call that failed.
    pub fn error(id: u64, error: ApiError) -> Self {
        Self { api: API_VERSION, id, body: Body::Error(error) }
    }

    /// The final reply of a call that succeeded. `M` is the parameter type of the method.
    pub fn result<M: Method>(id: u64, result: &M::Result) -> Self {
        Self::of(id, result, Body::Result)
    }

    /// Progress of a call. `M` is the parameter type of the method.
    pub fn event<M: Method>(id: u64, event: &M::Event) -> Self {
        Self::of(id, event, Body::Event)
    }

    fn of(id: u64, value: &impl Serialize, body: fn(Value) -> Body) -> Self {
        match serde_json::to_value(value) {
            Ok(value) => Self { api: API_VERSION, id, body: body(value) },
            Err(error) => {
                Self::error(id, ApiError::new(ErrorCode::Internal, format!("reply cannot be encoded; {error}")))
            }
        }
    }

    /// The line to write, newline included; an answer that does not fit in [`MAX_LINE_BYTES`] becomes an error line.
    pub fn to_line(&self) -> String {
        line_of(self).unwrap_or_else(|error| {
            let short = Self::error(self.id, ApiError { code: ErrorCode::Internal, ..error });
            line_of(&short).unwrap_or_else(|_| String::from("\n"))
        })
    }

    /// Reads one line; unknown fields are ignored.
    ///
    /// # Errors
    /// The JSON error when the line is not a reply.
    pub fn parse(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

fn line_of(value: &impl Serialize) -> Result<String, ApiError> {
    let mut line = serde_json::to_string(value)
        .map_err(|error| ApiError::new(ErrorCode::InvalidInput, format!("message cannot be encoded; {error}")))?;
    line.push('\n');
    if line.len() > MAX_LINE_BYTES {
        let text = format!("message too long; {} bytes of at most {MAX_LINE_BYTES}", line.len());
        return Err(ApiError::new(ErrorCode::InvalidInput, text));
    }
    Ok(line)
}
