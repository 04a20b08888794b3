//! Rows of typologies and rules.

use store::{Row, Tx, Value, binds};

use super::{NewRule, NewTypology, RULES_MAX, Typology, TypologyRule};
use crate::folder::Refusal;
use crate::types::{Error, Result};

pub(super) fn typologies(tx: &mut Tx<'_>, tail: &str, binds: &[Value]) -> Result<Vec<Typology>> {
    let sql = format!(
        "SELECT t.id, t.name, t.description, t.base, t.weight, t.pool, t.shipped, \
         (SELECT count(*) FROM typology_member m WHERE m.typology = t.id), t.created_at, t.updated_at FROM typology t {tail}"
    );
    tx.query(&sql, binds, |row| {
        Ok(Typology {
            id: row.int(0)?,
            name: row.text(1)?,
            description: row.text(2)?,
            base: row.text(3)?,
            weight: row.int(4)?,
            pool: row.text(5)?,
            shipped: row.bool(6)?,
            rules: row.int(7)?,
            created_at: row.int(8)?,
            updated_at: row.int(9)?,
        })
    })
}

fn typology(tx: &mut Tx<'_>, id: i64) -> Result<Typology> {
    let found = typologies(tx, "WHERE t.id = $1", &binds![id])?.pop();
    found.ok_or(Error::NoSuch("typology"))
}

pub(super) fn insert_typology(tx: &mut Tx<'_>, new: &NewTypology, now_us: i64) -> Result<Typology> {
    free(tx, "typology", &new.name, 0)?;
    let id = tx.insert_id(
        "INSERT INTO typology (name, description, base, weight, pool, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
        &binds![
            new.name.trim(),
            new.description.as_str(),
            new.base.as_str(),
            new.weight,
            new.pool.as_str(),
            now_us
        ],
    )?;
    typology(tx, id)
}

pub(super) fn update_typology(tx: &mut Tx<'_>, id: i64, new: &NewTypology, now_us: i64) -> Result<Typology> {
    let old = typology(tx, id)?;
    if old.shipped && (old.name != new.name.trim() || old.base != new.base) {
        return Err(
            Refusal::new("name", "is that of a shipped typology, which keeps its name and base").into()
        );
    }
    free(tx, "typology", &new.name, id)?;
    tx.execute(
        "UPDATE typology SET name = $2, description = $3, base = $4, weight = $5, pool = $6, updated_at = $7 WHERE id = $1",
        &binds![
            id,
            new.name.trim(),
            new.description.as_str(),
            new.base.as_str(),
            new.weight,
            new.pool.as_str(),
            now_us
        ],
    )?;
    typology(tx, id)
}

pub(super) fn delete_typology(tx: &mut Tx<'_>, id: i64) -> Result<bool> {
    let Some(old) = typologies(tx, "WHERE t.id = $1", &binds![id])?.pop() else { return Ok(false) };
    if old.shipped {
        return Err(
            Refusal::new("typology", format!("{:?} is shipped and cannot be deleted", old.name)).into()
        );
    }
    let used: i64 = tx.query_one(
        "SELECT count(*) FROM delivery WHERE state IN ('draft', 'targeting_pending', 'analysing', 'ready', 'failed') \
         AND definition -> 'validation' ->> 'typology' = $1",
        &binds![old.name.as_str()],
        |row| row.int(0).map_err(Error::from),
    )?;
    if used > 0 {
        let deliveries = crate::words::counted(used, "delivery that is", "deliveries that are");
        let text =
            format!("{:?} is named by {deliveries} not confirmed; give them another one first", old.name);
        return Err(Refusal::new("typology", text).into());
    }
    tx.execute("DELETE FROM typology_member WHERE typology = $1", &binds![id])?;
    Ok(tx.execute("DELETE FROM typology WHERE id = $1", &binds![id])? > 0)
}

/// Refuses a name that another row of the table has.
fn free(tx: &mut Tx<'_>, table: &str, name: &str, mine: i64) -> Result<()> {
    let sql = format!("SELECT id FROM {table} WHERE name = $1 AND id <> $2");
    match tx.query_opt(&sql, &binds![name.trim(), mine], |row| row.int(0).map_err(Error::from))? {
        Some(_) => Err(Refusal::new("name", format!("{:?} is taken already", name.trim())).into()),
        None => Ok(()),
    }
}

pub(super) fn rules(tx: &mut Tx<'_>, typology: Option<i64>, id: Option<i64>) -> Result<Vec<TypologyRule>> {
    let mut sql = String::from(
        "SELECT r.id, r.name, r.description, r.rank, r.active, r.scope, r.from_at, r.until_at, r.definition, \
         r.created_at, r.updated_at FROM typology_rule r",
    );
    let mut binds = Vec::new();
    if let Some(typology) = typology {
        sql.push_str(" JOIN typology_member m ON m.rule = r.id AND m.typology = $1");
        binds.push(Value::Int(typology));
    }
    if let Some(id) = id {
        binds.push(Value::Int(id));
        sql.push_str(&format!(" WHERE r.id = ${}", binds.len()));
    }
    sql.push_str(" ORDER BY r.kind, r.rank, r.name");
    let mut found: Vec<TypologyRule> = tx.query(&sql, &binds, read)?;
    let members = tx.query(
        "SELECT m.rule, t.name FROM typology_member m JOIN typology t ON t.id = m.typology ORDER BY t.name",
        &[],
        |row| Ok::<_, Error>((row.int(0)?, row.text(1)?)),
    )?;
    for (rule, name) in members {
        if let Some(found) = found.iter_mut().find(|found| found.id == rule) {
            found.rule.typologies.push(name);
        }
    }
    Ok(found)
}

fn read(row: &Row<'_>) -> Result<TypologyRule> {
    let definition = serde_json::from_str(&row.text(8)?)
        .map_err(|error| Error::Internal(format!("stored rule: {error}")))?;
    Ok(TypologyRule {
        id: row.int(0)?,
        rule: NewRule {
            name: row.text(1)?,
            description: row.text(2)?,
            typologies: Vec::new(),
            order: row.int(3)?,
            active: row.bool(4)?,
            scope: row.text(5)?,
            from_us: row.int_opt(6)?,
            until_us: row.int_opt(7)?,
            definition,
        },
        created_at: row.int(9)?,
        updated_at: row.int(10)?,
    })
}

fn rule(tx: &mut Tx<'_>, id: i64) -> Result<TypologyRule> {
    rules(tx, None, Some(id))?.pop().ok_or(Error::NoSuch("rule"))
}

fn definition(new: &NewRule) -> Result<String> {
    serde_json::to_string(&new.definition).map_err(|error| Error::Internal(format!("rule: {error}")))
}

pub(super) fn insert_rule(tx: &mut Tx<'_>, new: &NewRule, now_us: i64) -> Result<TypologyRule> {
    free(tx, "typology_rule", &new.name, 0)?;
    let id = tx.insert_id(
        "INSERT INTO typology_rule (name, description, kind, rank, active, scope, from_at, until_at, definition, \
         created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $10)",
        &binds![
            new.name.trim(),
            new.description.as_str(),
            new.definition.kind().as_str(),
            new.order,
            new.active,
            new.scope.trim(),
            new.from_us,
            new.until_us,
            definition(new)?,
            now_us
        ],
    )?;
    belong(tx, id, &new.typologies)?;
    rule(tx, id)
}

pub(super) fn update_rule(tx: &mut Tx<'_>, id: i64, new: &NewRule, now_us: i64) -> Result<TypologyRule> {
    rule(tx, id)?;
    free(tx, "typology_rule", &new.name, id)?;
    tx.execute(
        "UPDATE typology_rule SET name = $2, description = $3, kind = $4, rank = $5, active = $6, scope = $7, from_at = $8, \
         until_at = $9, definition = $10, updated_at = $11 WHERE id = $1",
        &binds![
            id,
            new.name.trim(),
            new.description.as_str(),
            new.definition.kind().as_str(),
            new.order,
            new.active,
            new.scope.trim(),
            new.from_us,
            new.until_us,
            definition(new)?,
            now_us
        ],
    )?;
    tx.execute("DELETE FROM typology_member WHERE rule = $1", &binds![id])?;
    belong(tx, id, &new.typologies)?;
    rule(tx, id)
}

fn belong(tx: &mut Tx<'_>, rule: i64, names: &[String]) -> Result<()> {
    for name in names {
        let found = typologies(tx, "WHERE t.name = $1", &binds![name.trim()])?.pop();
        let found = found
            .ok_or_else(|| Refusal::new("typologies", format!("there is no typology named {name:?}")))?;
        if found.rules >= RULES_MAX as i64 {
            let text = format!("{name:?} has {RULES_MAX} rules, which is the most that it may have");
            return Err(Refusal::new("typologies", text).into());
        }
        tx.execute(
            "INSERT INTO typology_member (typology, rule) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &binds![found.id, rule],
        )?;
    }
    Ok(())
}

pub(super) fn delete_rule(tx: &mut Tx<'_>, id: i64) -> Result<bool> {
    tx.execute("DELETE FROM typology_member WHERE rule = $1", &binds![id])?;
    tx.execute("DELETE FROM capacity_use WHERE rule = $1", &binds![id])?;
    Ok(tx.execute("DELETE FROM typology_rule WHERE id = $1", &binds![id])? > 0)
}
