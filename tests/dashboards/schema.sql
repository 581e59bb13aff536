-- The published warehouse's tables as the dashboards rely on them: the contract's columns with the models' types.
create schema marts;
create schema meta;
create schema lake;
create table marts.dim_owner (owner_id varchar, name varchar, country_code varchar, currency varchar);
create table marts.dim_operator (operator_id varchar, name varchar, ocpi_party varchar);
create table marts.dim_emsp (emsp_id varchar, name varchar, ocpi_party varchar);
create table marts.dim_site (
    site_id varchar, name varchar, owner_id varchar, operator_id varchar, time_zone varchar, country_code varchar,
    currency varchar, city varchar
);
create table marts.dim_station (station_id varchar, site_id varchar, vendor varchar, model varchar);
create table marts.dim_port (
    port_id varchar, station_id varchar, site_id varchar, owner_id varchar, operator_id varchar,
    ocpp_connector_ids varchar, power_type varchar, max_power_kw decimal(18, 3), decommissioned_at timestamptz
);
create table marts.fct_port_state (
    port_id varchar, site_id varchar, state varchar, started_at timestamptz, ended_at timestamptz, duration_s bigint,
    error_code varchar, known_until_at timestamptz
);
create table marts.fct_port_day (
    port_id varchar, site_id varchar, owner_id varchar, operator_id varchar, local_date date, period_s bigint, available_s bigint,
    occupied_s bigint, charging_s bigint, faulted_s bigint, unavailable_s bigint, offline_s bigint, unknown_s bigint,
    session_count bigint, energy_kwh decimal(18, 6), peak_power_kw decimal(18, 3), revenue_net decimal(18, 6),
    currency varchar
);
create table marts.fct_session (
    session_id varchar, station_id varchar, port_id varchar, site_id varchar, owner_id varchar, operator_id varchar,
    transaction_id varchar, started_at timestamptz,
    ended_at timestamptz, energy_kwh decimal(18, 6), is_complete boolean
);
create table marts.fct_cdr (
    cdr_key varchar, cdr_id varchar, peer varchar, country_code varchar, party_id varchar, ocpi_version varchar,
    site_id varchar, port_id varchar, owner_id varchar, operator_id varchar, emsp_id varchar, session_id varchar,
    started_at timestamptz, ended_at timestamptz, energy_kwh decimal(18, 6), duration_s bigint, currency varchar,
    billed_net decimal(18, 6), billed_gross decimal(18, 6), repriced_net decimal(18, 6), repriced_gross decimal(18, 6),
    audit_verdict varchar, audit_reason varchar, is_credit boolean, credited_cdr_id varchar, is_credited boolean,
    is_home_charging_compensation boolean, is_counted boolean, local_month date, time_zone varchar,
    last_updated_at timestamptz
);
create table marts.fct_cdr_price_line (
    cdr_key varchar, cdr_id varchar, period_number integer, dimension varchar, tariff_id varchar,
    element_number integer, quantity decimal(18, 6), billed_quantity decimal(18, 6), unit varchar,
    unit_price decimal(18, 6), amount_net decimal(18, 6), vat_ratio decimal(9, 6)
);
create table marts.fct_site_month (
    site_id varchar, owner_id varchar, operator_id varchar, local_month date, currency varchar,
    is_site_currency boolean, session_count bigint,
    energy_kwh decimal(18, 6), revenue_net decimal(18, 6), downtime_s bigint
);
create table marts.fct_load_15min (
    site_id varchar, interval_start_at timestamptz, average_power_kw decimal(18, 3), energy_kwh decimal(18, 6)
);
create table meta.run (
    run_id varchar, started_at timestamptz, finished_at timestamptz, status varchar, files_new bigint,
    records_read bigint, records_loaded bigint, records_duplicate bigint, records_quarantined bigint,
    models_built bigint, checks_passed bigint, checks_failed bigint, seconds double, version varchar
);
create table meta.source_file (
    source_id varchar, path varchar, kind varchar, table_name varchar, log_format varchar, peer varchar,
    log_source varchar, size_bytes bigint, first_seen_at timestamptz, is_current boolean, is_first_path boolean,
    records_read bigint, records_loaded bigint, records_duplicate bigint, records_quarantined bigint, error varchar
);
create table meta.quality_result (
    run_id varchar, suite varchar, table_name varchar, check_name varchar, column_name varchar, severity varchar,
    passed boolean, observed varchar, failing_count bigint, failing_sample varchar
);
comment on table marts.fct_port_day is 'One row is one port on one local date.';
comment on column marts.fct_port_day.unknown_s is 'Seconds for which no log was delivered.';
