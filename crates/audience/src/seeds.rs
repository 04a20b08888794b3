//! Seeds: addresses of our own that get the real delivery, so that somebody sees what arrives where. They are no
//! recipients, stand outside of every target and figure, and are put together in groups: by hand, or by a condition over
//! their fields.
//!
//! In rooms that know messages a seed's recipient id is negative: `-(seed id)`.

use serde::Serialize;
use store::{Lane, Row, Tx, Value, binds};

use crate::Audience;
use crate::error::{Error, Result};
use crate::filter::{Filter, compile};
use crate::limits::{SEED_GROUPS_MAX, SEEDS_MAX};
use crate::lists::checked_name;
use crate::recipient::{
    Address, Attributes, FIELDS, NewRecipient, Recipient, RecipientEdit, attributes_json,
    check_attribute_count, checked, checked_attribute,
};
use crate::recipients::{edited_attributes, edited_fields, new_fields, remember_names};
use crate::row::{RecipientRow, recipient_columns};

/// A seed: the fields of a recipient, with an id of its own. Several may have one address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seed {
    /// The seed's id, positive.
    pub id: i64,
    /// Address, fields and attributes. Its `id` is the one that messages name, `-(id)`.
    pub profile: Recipient,
}

/// Seeds under a name.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeedGroup {
    /// The group's id.
    pub id: i64,
    /// Unique; what `delivery.toml` names.
    pub name: String,
    /// Whom it takes by their fields; none: its members were chosen by hand.
    pub condition: Option<Filter>,
    /// How many members were chosen by hand. A condition's are counted with [`Audience::seeds_of_group`].
    pub members: i64,
    /// Microseconds UTC.
    pub created_at: i64,
}

const GROUP: &str = "SELECT g.id, g.name, g.condition, (SELECT count(*) FROM seed_member m WHERE m.seed_group = g.id), \
     g.created_at FROM seed_group g";

const INSERT: &str = "INSERT INTO seed (email, email_key, domain, first_name, last_name, language, time_zone, country, \
     city, email_format, attributes, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

const UPDATE: &str = "UPDATE seed SET email = $2, email_key = $3, domain = $4, first_name = $5, last_name = $6, language = $7, \
     time_zone = $8, country = $9, city = $10, email_format = $11, attributes = $12, updated_at = $13 WHERE id = $1";

impl Audience {
    /// All seeds in the order of their ids.
    pub async fn seeds(&self) -> Result<Vec<Seed>> {
        let sql = format!("SELECT {} FROM seed r ORDER BY r.id", recipient_columns("r"));
        self.store.read(move |tx| tx.query(&sql, &[], read_seed)).await
    }

    /// A seed by its (positive) id.
    pub async fn seed(&self, id: i64) -> Result<Option<Seed>> {
        self.store.read(move |tx| seed_by_id(tx, id)).await
    }

    /// Creates a seed. The denylist flag means nothing for a seed.
    ///
    /// # Errors
    /// A value that breaks a rule, or more seeds than [`SEEDS_MAX`].
    pub async fn create_seed(&self, new: NewRecipient, now_us: i64) -> Result<Seed> {
        let address = Address::parse(&new.email)?;
        let mut values = binds![address.email, address.key, address.domain].to_vec();
        for (i, value) in new_fields(&new).into_iter().enumerate() {
            values.push(Value::Text(checked(i, value)?));
        }
        let mut attributes = Attributes::new();
        for (name, value) in &new.attributes {
            let (name, value) = checked_attribute(name, value)?;
            attributes.insert(name, value);
        }
        check_attribute_count(&attributes)?;
        values.extend(binds![attributes_json(&attributes), now_us, now_us]);
        self.store
            .write(Lane::Urgent, move |tx| {
                let count =
                    tx.query_one("SELECT count(*) FROM seed", &[], |row| Ok::<_, Error>(row.int(0)?))?;
                if count >= SEEDS_MAX as i64 {
                    return Err(Error::invalid(
                        "seeds",
                        format!("there are {SEEDS_MAX} already; delete some first"),
                    ));
                }
                remember_names(tx, attributes.keys())?;
                let id = tx.insert_id(INSERT, &values)?;
                seed_by_id(tx, id)?.ok_or(Error::NotFound("seed"))
            })
            .await
    }

    /// Changes what the edit names, and returns the seed as it then is.
    pub async fn edit_seed(&self, id: i64, edit: RecipientEdit, now_us: i64) -> Result<Seed> {
        let address = edit.email.as_deref().map(Address::parse).transpose()?;
        self.store
            .write(Lane::Urgent, move |tx| {
                let old = seed_by_id(tx, id)?.ok_or(Error::NotFound("seed"))?.profile;
                let address = address.unwrap_or(Address {
                    email: old.email.clone(),
                    key: old.email_key.clone(),
                    domain: old.domain.clone(),
                });
                let attributes = edited_attributes(&old, &edit)?;
                remember_names(tx, attributes.keys())?;
                let mut values = binds![id, address.email, address.key, address.domain].to_vec();
                for (i, value) in edited_fields(&edit).into_iter().enumerate() {
                    let value = value.as_deref().map(|value| checked(i, value)).transpose()?;
                    values.push(Value::Text(value.unwrap_or_else(|| old.field(i).to_owned())));
                }
                values.extend(binds![attributes_json(&attributes), now_us]);
                tx.execute(UPDATE, &values)?;
                seed_by_id(tx, id)?.ok_or(Error::NotFound("seed"))
            })
            .await
    }

    /// Deletes seeds, also from their groups, and returns how many there were.
    pub async fn delete_seeds(&self, ids: Vec<i64>) -> Result<u64> {
        self.store
            .write(Lane::Urgent, move |tx| {
                let rows = || ids.iter().map(|id| binds![*id]);
                tx.execute_many("DELETE FROM seed_member WHERE seed = $1", rows())?;
                Ok(tx.execute_many("DELETE FROM seed WHERE id = $1", rows())?)
            })
            .await
    }

    /// All groups in the order of their names.
    pub async fn seed_groups(&self) -> Result<Vec<SeedGroup>> {
        let sql = format!("{GROUP} ORDER BY g.name");
        self.store.read(move |tx| tx.query(&sql, &[], read_group)).await
    }

    /// A group by id.
    pub async fn seed_group(&self, id: i64) -> Result<Option<SeedGroup>> {
        let sql = format!("{GROUP} WHERE g.id = $1");
        self.store.read(move |tx| tx.query_opt(&sql, &binds![id], read_group)).await
    }

    /// A group by its exact name.
    pub async fn seed_group_by_name(&self, name: &str) -> Result<Option<SeedGroup>> {
        let name = name.trim().to_owned();
        self.store.read(move |tx| group_by_name(tx, &name)).await
    }

    /// Creates a group and returns its id: with a condition it takes the seeds that fit whenever it is used, without one it
    /// begins empty.
    ///
    /// # Errors
    /// A taken name, or a condition that names a list or a segment: seeds are on none.
    pub async fn create_seed_group(
        &self,
        name: &str,
        condition: Option<&Filter>,
        now_us: i64,
    ) -> Result<i64> {
        let name = checked_name("seed group", name)?;
        let condition = condition.map(checked_condition).transpose()?;
        self.store
            .write(Lane::Urgent, move |tx| {
                let count = "SELECT count(*) FROM seed_group";
                let count = tx.query_one(count, &[], |row| Ok::<_, Error>(row.int(0)?))?;
                if count >= SEED_GROUPS_MAX as i64 {
                    return Err(Error::invalid(
                        "name",
                        format!("there are {SEED_GROUPS_MAX} groups already"),
                    ));
                }
                check_free(tx, &name, None)?;
                let sql = "INSERT INTO seed_group (name, condition, created_at) VALUES ($1, $2, $3)";
                Ok(tx.insert_id(sql, &binds![name, condition, now_us])?)
            })
            .await
    }

    /// Gives a group another name and condition. Members chosen by hand are kept, also while there is a condition.
    pub async fn update_seed_group(&self, id: i64, name: &str, condition: Option<&Filter>) -> Result<()> {
        let name = checked_name("seed group", name)?;
        let condition = condition.map(checked_condition).transpose()?;
        self.store
            .write(Lane::Urgent, move |tx| {
                check_free(tx, &name, Some(id))?;
                let sql = "UPDATE seed_group SET name = $2, condition = $3 WHERE id = $1";
                match tx.execute(sql, &binds![id, name, condition])? {
                    0 => Err(Error::NotFound("seed group")),
                    _ => Ok(()),
                }
            })
            .await
    }

    /// Deletes a group; its seeds stay. False: there is no such group.
    pub async fn delete_seed_group(&self, id: i64) -> Result<bool> {
        self.store
            .write(Lane::Urgent, move |tx| {
                tx.execute("DELETE FROM seed_member WHERE seed_group = $1", &binds![id])?;
                Ok(tx.execute("DELETE FROM seed_group WHERE id = $1", &binds![id])? > 0)
            })
            .await
    }

    /// Puts seeds in a group by hand and returns how many were not in it.
    ///
    /// # Errors
    /// No such group, or one that takes its members by a condition.
    pub async fn add_to_seed_group(&self, group: i64, seeds: Vec<i64>) -> Result<u64> {
        self.store
            .write(Lane::Urgent, move |tx| {
                let sql = format!("{GROUP} WHERE g.id = $1");
                let found =
                    tx.query_opt(&sql, &binds![group], read_group)?.ok_or(Error::NotFound("seed group"))?;
                if found.condition.is_some() {
                    let reason = "this group takes its members by a condition; remove the condition first";
                    return Err(Error::invalid("seeds", reason));
                }
                let sql = "INSERT INTO seed_member (seed_group, seed) SELECT $1, id FROM seed WHERE id = $2 \
                     ON CONFLICT DO NOTHING";
                Ok(tx.execute_many(sql, seeds.into_iter().map(|seed| binds![group, seed]))?)
            })
            .await
    }

    /// Takes seeds out of a group and returns how many were in it by hand.
    pub async fn remove_from_seed_group(&self, group: i64, seeds: Vec<i64>) -> Result<u64> {
        self.store
            .write(Lane::Urgent, move |tx| {
                let sql = "DELETE FROM seed_member WHERE seed_group = $1 AND seed = $2";
                Ok(tx.execute_many(sql, seeds.into_iter().map(|seed| binds![group, seed]))?)
            })
            .await
    }

    /// The seeds of a group now, in the order of their ids.
    pub async fn seeds_of_group(&self, group: &SeedGroup, now_us: i64) -> Result<Vec<Seed>> {
        let group = group.clone();
        self.store.read(move |tx| members(tx, &group, now_us)).await
    }

    /// The seeds of these groups, each once, in the order of their ids: rows as an analysis writes messages for, with
    /// negative ids.
    ///
    /// Empty fields and attributes a seed does not have are filled from `fill`, the random recipients of the target that the
    /// caller passes: the first seed from the first, the next from the next, round and round. The address and the format are a
    /// seed's own. An empty `fill` fills nothing.
    ///
    /// # Errors
    /// A group that does not exist, by its name.
    pub async fn seeds_in(
        &self,
        groups: &[String],
        fill: &[Recipient],
        now_us: i64,
    ) -> Result<Vec<RecipientRow>> {
        let groups = groups.to_vec();
        let mut seeds = self
            .store
            .read(move |tx| {
                let mut seeds = Vec::new();
                for name in &groups {
                    let Some(group) = group_by_name(tx, name.trim())? else {
                        let reason = format!("there is no seed group named {name:?}");
                        return Err(Error::invalid("seeds", reason));
                    };
                    seeds.extend(members(tx, &group, now_us)?);
                }
                Ok(seeds)
            })
            .await?;
        seeds.sort_by_key(|seed| seed.id);
        seeds.dedup_by_key(|seed| seed.id);
        let mut from = fill.iter().cycle();
        let filled = seeds.into_iter().map(|seed| match from.next() {
            Some(from) => RecipientRow::from(&filled(seed.profile, from)),
            None => RecipientRow::from(&seed.profile),
        });
        Ok(filled.collect())
    }
}

/// A seed's profile with its gaps filled. The format stays: it decides what the seed's mailbox is there to see.
fn filled(mut seed: Recipient, from: &Recipient) -> Recipient {
    let fields = [
        (&mut seed.first_name, &from.first_name),
        (&mut seed.last_name, &from.last_name),
        (&mut seed.language, &from.language),
        (&mut seed.time_zone, &from.time_zone),
        (&mut seed.country, &from.country),
        (&mut seed.city, &from.city),
    ];
    for (own, other) in fields {
        if own.is_empty() {
            own.clone_from(other);
        }
    }
    for (name, value) in &from.attributes {
        let own = seed.attributes.entry(name.clone()).or_default();
        if own.is_empty() {
            own.clone_from(value);
        }
    }
    seed
}

/// The stored form of a condition, once it is one that seeds can meet.
fn checked_condition(condition: &Filter) -> Result<String> {
    if let Some(name) = condition.names().next() {
        let reason = format!("{} is named, but seeds are on no list and in no segment", name.words());
        return Err(Error::invalid("condition", reason));
    }
    Ok(condition.to_json().to_string())
}

fn members(tx: &mut Tx<'_>, group: &SeedGroup, now_us: i64) -> Result<Vec<Seed>> {
    let mut binds = Vec::new();
    let among = match &group.condition {
        Some(condition) => compile(condition, tx.dialect(), now_us, &mut binds),
        None => {
            binds.push(Value::Int(group.id));
            "EXISTS (SELECT 1 FROM seed_member m WHERE m.seed_group = $1 AND m.seed = r.id)".to_owned()
        }
    };
    let sql = format!("SELECT {} FROM seed r WHERE {among} ORDER BY r.id", recipient_columns("r"));
    tx.query(&sql, &binds, read_seed)
}

fn seed_by_id(tx: &mut Tx<'_>, id: i64) -> Result<Option<Seed>> {
    let sql = format!("SELECT {} FROM seed r WHERE r.id = $1", recipient_columns("r"));
    tx.query_opt(&sql, &binds![id], read_seed)
}

fn group_by_name(tx: &mut Tx<'_>, name: &str) -> Result<Option<SeedGroup>> {
    tx.query_opt(&format!("{GROUP} WHERE g.name = $1"), &binds![name], read_group)
}

fn check_free(tx: &mut Tx<'_>, name: &str, mine: Option<i64>) -> Result<()> {
    match group_by_name(tx, name)? {
        Some(other) if Some(other.id) != mine => Err(Error::Exists { what: "seed group", name: other.name }),
        _ => Ok(()),
    }
}

fn read_seed(row: &Row<'_>) -> Result<Seed> {
    let mut profile = RecipientRow::read(row, 0)?.to_recipient();
    let id = profile.id;
    profile.id = -id;
    Ok(Seed { id, profile })
}

fn read_group(row: &Row<'_>) -> Result<SeedGroup> {
    Ok(SeedGroup {
        id: row.int(0)?,
        name: row.text(1)?,
        condition: row.text_opt(2)?.as_deref().map(Filter::parse_text).transpose()?,
        members: row.int(3)?,
        created_at: row.int(4)?,
    })
}

const _: () = assert!(FIELDS.len() == 7, "`filled` and the statements above name each field");
