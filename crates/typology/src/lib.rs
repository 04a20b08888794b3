//! typology
