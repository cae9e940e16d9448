//! `logs`: what a job printed, byte by byte as it printed it.

use proto::wire;

use crate::args;
use crate::client::Client;
use crate::exit::{Exit, Failure};
use crate::output;

pub async fn run(client: Client, args: args::Logs) -> Result<Exit, Failure> {
    let request = wire::LogsRequest {
        job: args.job().to_string(),
        stderr: args.stderr,
        follow: args.follow,
    };
    let mut chunks = client.logs(request).await?;
    while let Some(chunk) = client.next(&mut chunks).await? {
        output::print_bytes(&chunk.bytes)?;
    }
    Ok(Exit::Ok)
}
