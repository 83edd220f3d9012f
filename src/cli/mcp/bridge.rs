//! Calls of the tools, answered by the server of the data directory.

use std::sync::Arc;

use rmcp::model::Extensions;
use tokio::sync::Mutex;

use super::starting::Starter;
use crate::error::Result;
use crate::mcp::{Answering, Api, Call, Caller, Doors, Root};
use crate::outbound::daemon::{AsyncDaemon, Unanswered};

/// Asks the server of the data directory, and starts it where there is none.
pub(super) struct Bridge {
    root: Root,
    asking: Arc<Asking>,
}

/// The server that is asked.
struct Asking {
    starter: Starter,
    server: Mutex<Option<Arc<AsyncDaemon>>>,
}

impl Bridge {
    pub(super) fn new(starter: Starter, root: Root) -> Bridge {
        let server = Mutex::new(None);
        Bridge {
            root,
            asking: Arc::new(Asking { starter, server }),
        }
    }

    /// Finds or starts the server before anybody asks.
    ///
    /// # Errors
    /// As [`Starter::find_or_start`].
    pub(super) async fn wake(self: Arc<Self>) -> Result<()> {
        self.asking.server(None).await.map(drop)
    }
}

impl Doors for Bridge {
    fn enter(&self, _: &Extensions) -> Result<Caller> {
        let api: Arc<dyn Api> = Arc::clone(&self.asking) as _;
        Ok(Caller {
            api,
            root: self.root.clone(),
        })
    }
}

impl Asking {
    /// Returns the server, found or started where it is not known, or is this one, which has ended.
    async fn server(&self, ended: Option<&Arc<AsyncDaemon>>) -> Result<Arc<AsyncDaemon>> {
        let mut server = self.server.lock().await;
        if let Some(known) = &*server
            && ended.is_none_or(|ended| !Arc::ptr_eq(ended, known))
            && self.starter.is_there(known)
        {
            return Ok(Arc::clone(known));
        }
        *server = None;
        let found = Arc::new(self.starter.find_or_start().await?);
        *server = Some(Arc::clone(&found));
        Ok(found)
    }
}

impl Api for Asking {
    fn call(&self, call: Call) -> Answering<'_> {
        Box::pin(async move {
            let Call {
                method,
                target,
                body,
            } = call;
            let server = self.server(None).await?;
            match server.send(method.clone(), &target, body.as_ref()).await {
                Ok(answer) => return Ok(answer),
                Err(Unanswered::Other(error)) => return Err(error),
                // Nothing was done: it may be asked of the next one.
                Err(Unanswered::NotReached(_)) => {}
            }
            let server = self.server(Some(&server)).await?;
            match server.send(method, &target, body.as_ref()).await {
                Ok(answer) => Ok(answer),
                Err(Unanswered::Other(error) | Unanswered::NotReached(error)) => Err(error),
            }
        })
    }
}
