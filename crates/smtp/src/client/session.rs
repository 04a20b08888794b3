//! From the greeting to the first transaction: EHLO, STARTTLS, AUTH.

use super::{Client, Cut, Event, Owed, Phase, TlsUse};
use crate::ehlo::Ehlo;
use crate::reply::Reply;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

impl Client {
    pub(super) fn on_session_reply(&mut self, owed: Owed, reply: Reply) {
        match owed {
            Owed::Greeting if reply.is_positive() => self.say_ehlo(),
            Owed::Ehlo if reply.is_positive() => self.on_hello(Ehlo::parse(&reply)),
            // RFC 5321 section 3.2: a server that knows no EHLO is spoken to in the old way.
            Owed::Ehlo if reply.is_permanent() => self.say_helo(),
            Owed::Helo if reply.is_positive() => self.on_hello(Ehlo::none(&reply)),
            Owed::StartTls => self.on_starttls(reply),
            Owed::AuthPlain | Owed::AuthLogin | Owed::AuthLoginUser | Owed::AuthLoginPassword => {
                self.on_auth(owed, reply);
            }
            _ => self.refused(owed, reply),
        }
    }

    pub(super) fn say_ehlo(&mut self) {
        self.ehlo = Ehlo::default();
        let name = self.config.ehlo.clone();
        self.say(Owed::Ehlo, &["EHLO ", &name]);
    }

    fn say_helo(&mut self) {
        let name = self.config.ehlo.clone();
        self.say(Owed::Helo, &["HELO ", &name]);
    }

    fn on_hello(&mut self, ehlo: Ehlo) {
        self.ehlo = ehlo;
        self.ehlo.pipelining &= !self.lock_step;
        let wants_tls = matches!(self.config.tls, TlsUse::Opportunistic | TlsUse::Required);
        if wants_tls && !self.secured {
            if self.ehlo.starttls {
                return self.say(Owed::StartTls, &["STARTTLS"]);
            }
            if self.config.tls == TlsUse::Required {
                return self.fail(Owed::StartTls, Cut::TlsNotOffered);
            }
        }
        self.log_in();
    }

    fn on_starttls(&mut self, reply: Reply) {
        if reply.is_positive() {
            self.phase = Phase::Handshake;
            self.events.push_back(Event::Handshake);
        } else if self.config.tls == TlsUse::Required {
            self.fail(Owed::StartTls, Cut::TlsRefused(reply));
        } else {
            self.log_in();
        }
    }

    fn log_in(&mut self) {
        let Some(login) = self.config.login.clone() else {
            self.phase = Phase::Ready;
            self.events.push_back(Event::Ready);
            return;
        };
        if !self.secured && !login.in_clear {
            self.fail(Owed::AuthPlain, Cut::LoginInClear);
        } else if self.ehlo.auth_plain && login.is_sound() {
            let response = STANDARD.encode(format!("\0{}\0{}", login.user, login.password));
            self.say(Owed::AuthPlain, &["AUTH PLAIN ", &response]);
        } else if self.ehlo.auth_login && login.is_sound() {
            self.say(Owed::AuthLogin, &["AUTH LOGIN"]);
        } else {
            self.fail(Owed::AuthPlain, Cut::LoginNotOffered);
        }
    }

    fn on_auth(&mut self, owed: Owed, reply: Reply) {
        let (user, password) = match &self.config.login {
            Some(login) => (STANDARD.encode(&login.user), STANDARD.encode(&login.password)),
            None => return self.refused(owed, reply),
        };
        match (owed, reply.code) {
            (_, 235) => {
                self.phase = Phase::Ready;
                self.events.push_back(Event::Ready);
            }
            // The prompts' texts ("Username:") differ by server; their order does not.
            (Owed::AuthLogin, 334) => self.say(Owed::AuthLoginUser, &[&user]),
            (Owed::AuthLoginUser, 334) => self.say(Owed::AuthLoginPassword, &[&password]),
            _ => self.refused(owed, reply),
        }
    }

    fn refused(&mut self, owed: Owed, reply: Reply) {
        let why = if reply.code >= 400 { Cut::Refused(reply) } else { Cut::OutOfStep(reply) };
        self.fail(owed, why);
    }

    /// Ends the connection at the stage of `owed`.
    fn fail(&mut self, owed: Owed, why: Cut) {
        self.owed.push_front(owed);
        self.close(why);
    }
}
