//! The platform's container, as it is in JavaScript. The `worker` crate knows part of it, and loses
//! the environment variables of `start`: its options are a `Map`, of which the runtime reads the
//! properties, and a `Map` has none.

#![allow(unsafe_code)] // wasm_bindgen's imports are.

use worker::js_sys::{Object, Promise, Reflect};
use worker::wasm_bindgen::prelude::wasm_bindgen;
use worker::wasm_bindgen::{self, JsCast, JsValue};
use worker::{Fetcher, Result, State};

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(extends = Object)]
    type Inner;

    #[wasm_bindgen(method, getter)]
    fn running(this: &Inner) -> bool;

    #[wasm_bindgen(method, catch)]
    fn start(this: &Inner, options: &JsValue) -> std::result::Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn monitor(this: &Inner) -> std::result::Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn destroy(this: &Inner) -> std::result::Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = getTcpPort)]
    fn get_tcp_port(this: &Inner, port: u16) -> std::result::Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch, js_name = setInactivityTimeout)]
    fn set_inactivity_timeout(
        this: &Inner,
        milliseconds: f64,
    ) -> std::result::Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = interceptOutboundHttp)]
    fn intercept_outbound_http(
        this: &Inner,
        host: &str,
        to: &JsValue,
    ) -> std::result::Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch, js_name = interceptOutboundHttps)]
    fn intercept_outbound_https(
        this: &Inner,
        host: &str,
        to: &JsValue,
    ) -> std::result::Result<Promise, JsValue>;
}

/// `ctx.container`.
pub struct Container {
    inner: Inner,
}

impl Container {
    /// The container of an object; none where its class has no `containers` entry in the
    /// configuration, or containers are switched off.
    pub fn of(state: &State) -> Option<Self> {
        let container = Reflect::get(state.as_raw(), &"container".into()).ok()?;
        (!container.is_undefined() && !container.is_null()).then(|| Self {
            inner: container.unchecked_into(),
        })
    }

    pub fn running(&self) -> bool {
        self.inner.running()
    }

    /// Starts it, without waiting until it listens; as an instance of a type, where one is named, which
    /// the platform takes of applications whose `scheduling_policy` is `durable_object`.
    ///
    /// # Errors
    /// Where it runs already, or can't be started.
    pub fn start(
        &self,
        env: &[(&str, &str)],
        enable_internet: bool,
        instance: Option<&str>,
    ) -> Result<()> {
        let variables = Object::new();
        for (name, value) in env {
            Reflect::set(&variables, &(*name).into(), &(*value).into())?;
        }
        let options = Object::new();
        Reflect::set(&options, &"env".into(), &variables)?;
        Reflect::set(&options, &"enableInternet".into(), &enable_internet.into())?;
        if let Some(instance) = instance {
            Reflect::set(&options, &"instance".into(), &instance.into())?;
            // Both have to be named. It is the one of the configuration.
            let images = Reflect::get(&self.inner, &"images".into())?;
            if images.is_object() {
                let image = Reflect::get(&images, &"base".into())?;
                Reflect::set(&options, &"image".into(), &image)?;
            }
        }
        Ok(self.inner.start(&options)?)
    }

    /// Waits until it ends.
    ///
    /// # Errors
    /// Where it ends otherwise than with exit code 0; the message says how.
    pub async fn ended(&self) -> Result<()> {
        settled(self.inner.monitor()?).await
    }

    /// Stops it at once. What listens for its end hears it.
    ///
    /// # Errors
    /// Where the platform refuses.
    pub async fn destroy(&self) -> Result<()> {
        settled(self.inner.destroy()?).await
    }

    /// A way to what listens on a port in it.
    ///
    /// # Errors
    /// Where there is no such port.
    pub fn port(&self, port: u16) -> Result<Fetcher> {
        Ok(self.inner.get_tcp_port(port)?.unchecked_into())
    }

    /// Has the platform stop it after a time without requests. Older runtimes can't.
    ///
    /// # Errors
    /// Where the platform refuses.
    pub async fn set_inactivity_timeout(&self, milliseconds: f64) -> Result<()> {
        if Reflect::has(&self.inner, &"setInactivityTimeout".into())? {
            settled(self.inner.set_inactivity_timeout(milliseconds)?).await?;
        }
        Ok(())
    }

    /// Has plain HTTP from it to `host` arrive at `to`, a fetcher.
    ///
    /// # Errors
    /// Where the platform refuses.
    pub async fn intercept_outbound_http(&self, host: &str, to: &JsValue) -> Result<()> {
        settled(self.inner.intercept_outbound_http(host, to)?).await
    }

    /// The same for HTTPS, which the platform opens with an authority of its own that the container
    /// finds in its files. Older runtimes can't.
    ///
    /// # Errors
    /// Where the platform refuses.
    pub async fn intercept_outbound_https(&self, host: &str, to: &JsValue) -> Result<()> {
        settled(self.inner.intercept_outbound_https(host, to)?).await
    }
}

async fn settled(promise: Promise) -> Result<()> {
    worker::js_sys::futures::JsFuture::from(promise).await?;
    Ok(())
}
