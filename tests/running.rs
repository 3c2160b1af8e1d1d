//! How tests run: in the world that they share, or in one of their own.

use std::future::Future;
use std::sync::Arc;

use anyhow::{Result, ensure};
use libtest_mimic::{Failed, Trial};
use xtask::stack::{Provider, StackOptions};

use crate::World;

/// A test that starts what it needs by itself.
pub fn lone_test<F>(
    running: &Arc<Running>,
    name: &str,
    body: impl Fn() -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (running, told) = (Arc::clone(running), name.to_owned());
    Trial::test(name, move || once_more(&told, || running.run(body())))
}

/// Runs what has failed a second time, and says so: machines are shared, and what is late once is no defect.
/// One that fails twice has failed.
fn once_more(
    name: &str,
    run: impl Fn() -> std::result::Result<(), Failed>,
) -> std::result::Result<(), Failed> {
    let Err(failed) = run() else { return Ok(()) };
    let words = failed.message().unwrap_or_default();
    eprintln!("{name} has failed and is run once more: {words}");
    run()
}

/// A test in the world that is shared.
pub fn test<F>(
    world: &Arc<Running>,
    name: &str,
    body: impl Fn(Arc<World>) -> F + Send + 'static,
) -> Trial
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    let (world, told) = (Arc::clone(world), name.to_owned());
    Trial::test(name, move || {
        let shared = world
            .shared()
            .map_err(|error| Failed::from(format!("the stack did not start: {error:#}")))?;
        once_more(&told, || world.run(body(Arc::clone(&shared))))
    })
}

/// Seconds after which sandboxes of the shared worlds sleep. Each of them keeps a Claude Code, which watches files,
/// and a user may have 128 that do.
const SLEEPS_AFTER: &str = "150";

/// What a test changes of the stack's options before it starts.
type Change = dyn Fn(&mut StackOptions) -> Result<()> + Send + Sync;

/// Lets the session Worker start with the deployed configuration but for its rate limits: each pair
/// is one that is there, and what it is instead.
///
/// # Errors
/// Where a limit is not there, or the configuration can't be written.
pub fn with_limits(options: &mut StackOptions, limits: &[(usize, usize)]) -> Result<()> {
    with_config(options, |mut config| {
        for (deployed, wanted) in limits {
            let limit = |most: &usize| format!("\"limit\": {most}, ");
            ensure!(config.contains(&limit(deployed)), "no limit is {deployed}");
            config = config.replace(&limit(deployed), &limit(wanted));
        }
        Ok(config)
    })
}

/// Lets the session Worker start with the deployed configuration, changed.
///
/// # Errors
/// Those of the change, or where the configuration can't be written.
pub fn with_config(
    options: &mut StackOptions,
    change: impl FnOnce(String) -> Result<String>,
) -> Result<()> {
    let root = xtask::root();
    let root = root.display();
    let config = change(std::fs::read_to_string(format!("{root}/wrangler.jsonc"))?)?;
    // Paths are read from where the configuration is.
    let config = config
        .replace("\"./", &format!("\"{root}/"))
        .replace("\"build/", &format!("\"{root}/build/"));
    std::fs::create_dir_all(&options.data)?;
    let path = options.data.join("wrangler.jsonc");
    std::fs::write(&path, config)?;
    options.worker_config = Some(path);
    Ok(())
}

/// The runtime, and the world that the tests share, which is started for the first that needs it.
pub struct Running {
    pub runtime: tokio::runtime::Runtime,
    sandboxes: Provider,
    change: Box<Change>,
    world: std::sync::Mutex<Option<std::result::Result<Arc<World>, String>>>,
}

impl Running {
    /// # Errors
    /// Where there can be no runtime.
    pub fn new(sandboxes: Provider) -> Result<Arc<Self>> {
        Self::guarded(sandboxes, |_| Ok(()))
    }

    /// The same, with whatever else the stack's options offer.
    ///
    /// # Errors
    /// Where there can be no runtime.
    pub fn guarded(
        sandboxes: Provider,
        change: impl Fn(&mut StackOptions) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Arc<Self>> {
        Ok(Arc::new(Self {
            runtime: tokio::runtime::Runtime::new()?,
            sandboxes,
            change: Box::new(change),
            world: std::sync::Mutex::default(),
        }))
    }

    fn run(
        &self,
        body: impl Future<Output = Result<()>> + Send + 'static,
    ) -> std::result::Result<(), Failed> {
        self.runtime
            .block_on(async { tokio::spawn(body).await })
            .map_err(|panic| anyhow::anyhow!("{panic}"))
            .and_then(|result| result)
            .map_err(|error| Failed::from(format!("{error:#}")))
    }

    fn shared(&self) -> Result<Arc<World>> {
        let mut world = self
            .world
            .lock()
            .map_err(|_| anyhow::anyhow!("an earlier test broke the lock"))?;
        world
            .get_or_insert_with(|| {
                self.runtime
                    .block_on(World::start_as(self.sandboxes, |options| {
                        let sleeps = ["SANDBOX_SLEEP_SECONDS", SLEEPS_AFTER].map(str::to_owned);
                        options.worker_vars.push(sleeps.into());
                        (self.change)(options)
                    }))
                    .map(Arc::new)
                    .map_err(|error| format!("{error:#}"))
            })
            .clone()
            .map_err(anyhow::Error::msg)
    }

    /// Ends the stack, if it was started, and gives its log.
    pub fn stop(&self) -> Option<String> {
        let world = self.world.lock().ok()?.take()?.ok()?;
        let world = Arc::into_inner(world)?;
        let log = world.stack.log();
        self.runtime.block_on(world.stack.stop());
        Some(log)
    }
}
