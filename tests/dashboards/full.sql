-- A small network from 1 January to 15 March 2026, 14:00 UTC: Alpine Parking with two car parks (CHF and EUR), Thames
-- Retail with one site in London (GBP), and a station that no registry names. Everything below is derived from the port
-- states, so that seconds, sessions, CDRs and months agree; `rnd` stands in for chance and gives the same value each time.
create temp macro rnd(seed) as (hash(seed) % 10000) / 10000.0;
create temp macro horizon() as timestamptz '2026-03-15 14:00:00+00';

insert into marts.dim_owner values
    ('own-a', 'Alpine Parking', 'CH', 'CHF'), ('own-b', 'Thames Retail', 'GB', 'GBP'), ('unmapped', 'Unmapped', null, null);
insert into marts.dim_operator values ('op-1', 'VoltRun', 'CH*VLT'), ('op-2', 'Kerbside', 'GB*KRB'), ('unmapped', 'Unmapped', null);
insert into marts.dim_emsp values ('em-1', 'EasyDrive', 'DE*EZD'), ('em-2', 'Plugly', 'GB*PLG');
insert into marts.dim_site values
    ('a1', 'Station Garage', 'own-a', 'op-1', 'Europe/Zurich', 'CH', 'CHF', 'Zug'),
    ('a2', 'Lake Terrace', 'own-a', 'op-1', 'Europe/Berlin', 'DE', 'EUR', 'Konstanz'),
    ('b1', 'Riverside Mall', 'own-b', 'op-2', 'Europe/London', 'GB', 'GBP', 'London'),
    ('unmapped', 'Unmapped', 'unmapped', 'unmapped', 'UTC', null, 'XXX', null);
insert into marts.dim_station values
    ('ST-a1', 'a1', 'Charge Co', 'C50'), ('ST-a2', 'a2', 'Charge Co', 'C22'), ('ST-b1', 'b1', 'Ampera', 'A150'),
    ('ST-x', 'unmapped', null, null);
insert into marts.dim_port
select
    station_id || '/' || n, station_id, site_id, owner_id, operator_id, n::varchar,
    case when station_id = 'ST-a2' then 'AC' else 'DC' end,
    case station_id when 'ST-a1' then 50 when 'ST-a2' then 22 else 150 end,
    null
from marts.dim_station join marts.dim_site using (site_id), range(1, 5) as r(n)
where station_id <> 'ST-x' or n = 1;

-- Eight slots of three hours a day: charging in some, broken in a few, one silent source on two days, else available.
create temp table slot as
with slots as (
    select p.port_id, p.station_id, t as started_at, least(t + interval 3 hour, horizon()) as ended_at,
        hour(t) as h, rnd(p.port_id || t::varchar) as r, rnd(p.port_id || t::date::varchar) as day_r
    from marts.dim_port as p, range(timestamptz '2026-01-01 00:00:00+00', horizon(), interval 3 hour) as s(t)
)
, base as (
    select port_id, station_id, started_at, ended_at, r,
        case
            when started_at::date in (date '2026-02-10', date '2026-02-11') and station_id in ('ST-a1', 'ST-a2') then 'unknown'
            when port_id = 'ST-a1/3' and started_at >= timestamptz '2026-03-12 09:00:00+00' then 'faulted'
            when port_id = 'ST-b1/2' and started_at >= timestamptz '2026-03-15 06:00:00+00' then 'offline'
            when port_id = 'ST-a2/1' and started_at::date between date '2026-01-20' and date '2026-01-24' then 'unavailable'
            when day_r > 0.965 then 'faulted'
            when day_r < 0.015 then 'offline'
            when r < case when h between 6 and 18 then 0.6 else 0.15 end then 'charging'
            else 'available'
        end as state
    from slots
)
select * from base;
create temp table piece as
select port_id, 'charging' as state, started_at, started_at + to_minutes(cast(20 + 100 * r as integer)) as ended_at from slot where state = 'charging'
union all
select port_id, case when r < 0.1 then 'occupied' else 'suspended_ev' end, started_at + to_minutes(cast(20 + 100 * r as integer)), started_at + to_minutes(cast(40 + 110 * r as integer)) from slot where state = 'charging'
union all
select port_id, 'available', started_at + to_minutes(cast(40 + 110 * r as integer)), ended_at from slot where state = 'charging'
union all
select port_id, state, started_at, ended_at from slot where state <> 'charging';
insert into marts.fct_port_state
with kept as (
    select port_id, state, started_at, least(ended_at, horizon()) as ended_at from piece where started_at < least(ended_at, horizon())
)
, marked as (
    select *, case when state = lag(state) over (partition by port_id order by started_at) then 0 else 1 end as is_new from kept
)
, grouped as (select *, sum(is_new) over (partition by port_id order by started_at) as g from marked)
, merged as (select port_id, state, g, min(started_at) as s, max(ended_at) as e from grouped group by all)
select
    port_id, p.site_id, state, s, case when e < horizon() then e end, cast(epoch(e) - epoch(s) as bigint),
    case when state = 'faulted' then 'GroundFailure' end, e
from merged join marts.dim_port as p using (port_id);

-- After the states: one port that never sent a status, and one taken out of service for good.
insert into marts.dim_port values ('ST-a2/9', 'ST-a2', 'a2', 'own-a', 'op-1', '9', 'AC', 22, null);
insert into marts.dim_port values ('ST-a1/8', 'ST-a1', 'a1', 'own-a', 'op-1', '8', 'DC', 50, '2026-02-01 00:00:00+00');
insert into marts.fct_port_state values
    ('ST-a1/8', 'a1', 'faulted', '2026-01-01 00:00:00+00', null, 600, 'GroundFailure', '2026-01-01 00:10:00+00');

insert into marts.fct_session
select 'ses-' || row_number() over (order by s.started_at, s.port_id), p.station_id, s.port_id, p.site_id, p.owner_id, p.operator_id, 'tx', s.started_at, s.ended_at,
    cast((epoch(s.ended_at) - epoch(s.started_at)) / 3600 * p.max_power_kw * 0.4 as decimal(18, 6)), true
from marts.fct_port_state as s join marts.dim_port as p using (port_id)
where s.state = 'charging' and s.ended_at is not null;

insert into marts.fct_cdr
with priced as (
    select s.*, d.currency, d.country_code, d.time_zone,
        case when rnd(s.session_id) < 0.7 then 'em-1' else 'em-2' end as emsp_id, rnd('late' || s.session_id) as late,
        cast(s.energy_kwh * case d.currency when 'CHF' then 0.55 when 'GBP' then 0.49 else 0.48 end as decimal(18, 6)) as net
    from marts.fct_session as s join marts.dim_site as d using (site_id)
)
select
    'key-' || session_id, upper('cdr-' || session_id), operator_id, coalesce(country_code, 'XX'),
    case operator_id when 'op-1' then 'VLT' when 'op-2' then 'KRB' else 'UNM' end, '2.2.1', site_id, port_id, owner_id,
    operator_id, emsp_id, session_id, started_at, ended_at, energy_kwh,
    cast(epoch(ended_at) - epoch(started_at) as bigint), currency,
    case when late > 0.99 then net + 1.5 else net end, net * 1.08, net, net * 1.08,
    case when late > 0.99 then 'mismatch' when late < 0.02 then 'not_auditable' when late < 0.1 then 'rounding' else 'match' end,
    case when late > 0.99 then 'flat fee not in the tariff' when late < 0.02 then 'no tariff in force' end,
    false, null, hash(upper('cdr-' || session_id)) % 97 = 0, false, hash(upper('cdr-' || session_id)) % 97 <> 0,
    date_trunc('month', ended_at at time zone time_zone)::date, time_zone,
    ended_at + to_seconds(cast(120 + power(late, 6) * 300000 as integer))
from priced;
insert into marts.fct_cdr
select cdr_key || '-credit', cdr_id || '-C', peer, country_code, party_id, ocpi_version, site_id, port_id, owner_id, operator_id,
    emsp_id, session_id, started_at, ended_at, -energy_kwh, duration_s, currency, -billed_net, -billed_gross, -repriced_net,
    -repriced_gross, 'match', null, true, cdr_id, false, false, false, local_month, time_zone,
    last_updated_at + interval 2 day
from marts.fct_cdr where is_credited;
insert into marts.fct_cdr_price_line
select cdr_key, cdr_id, 1, 'ENERGY', 'TAR-' || currency, 1, energy_kwh, energy_kwh, 'kWh',
    round(repriced_net / nullif(energy_kwh, 0), 4), repriced_net, 0.08
from marts.fct_cdr where audit_verdict <> 'not_auditable';

insert into marts.fct_port_day
with zoned as (
    select s.port_id, d.site_id, d.owner_id, d.operator_id, d.currency, s.state,
        s.started_at at time zone d.time_zone as a, coalesce(s.ended_at, s.known_until_at) at time zone d.time_zone as b
    from marts.fct_port_state as s join marts.dim_port as p using (port_id) join marts.dim_site as d on d.site_id = p.site_id
)
, days as (
    select port_id, site_id, owner_id, operator_id, currency, state, t::date as local_date,
        epoch(least(b, t + interval 1 day)) - epoch(greatest(a, t)) as s
    from zoned, lateral (select unnest(range(date_trunc('day', a), b, interval 1 day)) as t)
)
, money as (
    select c.port_id, (c.ended_at at time zone d.time_zone)::date as local_date, count(*) filter (where is_counted) as n,
        sum(energy_kwh) filter (where is_counted) as kwh, sum(billed_net) as net
    from marts.fct_cdr as c join marts.dim_site as d using (site_id) group by all
)
select x.port_id, x.site_id, x.owner_id, x.operator_id, x.local_date, sum(s)::bigint,
    coalesce(sum(s) filter (where state in ('available', 'reserved')), 0)::bigint,
    coalesce(sum(s) filter (where state in ('occupied', 'suspended_ev', 'suspended_evse')), 0)::bigint,
    coalesce(sum(s) filter (where state = 'charging'), 0)::bigint, coalesce(sum(s) filter (where state = 'faulted'), 0)::bigint,
    coalesce(sum(s) filter (where state = 'unavailable'), 0)::bigint, coalesce(sum(s) filter (where state = 'offline'), 0)::bigint,
    coalesce(sum(s) filter (where state = 'unknown'), 0)::bigint,
    coalesce(any_value(m.n), 0), coalesce(any_value(m.kwh), 0), 0, coalesce(any_value(m.net), 0), x.currency
from days as x left join money as m on m.port_id = x.port_id and m.local_date = x.local_date
group by x.port_id, x.site_id, x.owner_id, x.operator_id, x.local_date, x.currency;

insert into marts.fct_site_month
select site_id, owner_id, operator_id, date_trunc('month', local_date)::date, currency, true, sum(session_count)::bigint, sum(energy_kwh), sum(revenue_net),
    sum(faulted_s + unavailable_s + offline_s)::bigint
from marts.fct_port_day group by all;

-- One roaming CDR in another currency: money on a row of its own, no charging.
insert into marts.fct_site_month values ('a1', 'own-a', 'op-1', '2026-02-01', 'USD', false, 0, 0, 25.5, 0);

insert into marts.fct_load_15min
select s.site_id, t, sum(p.max_power_kw * 0.4), sum(p.max_power_kw * 0.4 / 4)
from marts.fct_session as s join marts.dim_port as p using (port_id),
    lateral (select unnest(range(time_bucket(interval 15 minute, s.started_at), s.ended_at, interval 15 minute)) as t)
group by all;

insert into meta.run values
    ('run-1', '2026-03-14 05:00:00+00', '2026-03-14 05:02:00+00', 'success', 12, 9000, 8980, 12, 8, 60, 140, 0, 118.4, 'v1'),
    ('run-2', '2026-03-15 14:05:00+00', '2026-03-15 14:06:00+00', 'success', 2, 310, 300, 7, 3, 60, 139, 1, 64.2, 'v2');
insert into meta.source_file values
    ('aa', 'ocpp/alpine/2026-01.jsonl', 'ocpp', null, 'jsonl_envelope', null, 'alpine', 900000, '2026-03-14 05:00:00+00', true, true, 6000, 5990, 8, 2, null),
    ('bb', 'ocpp/thames/2026-02.log', 'ocpp', null, 'text_arrow', null, 'thames', 700000, '2026-03-15 14:05:00+00', true, true, 2000, 1999, 0, 1, null),
    ('cc', 'ocpi/cdrs/op-1/march.json', 'ocpi', 'cdr', 'ocpi_json', 'op-1', null, 500000, '2026-03-15 14:05:00+00', true, true, 1310, 1291, 11, 8, null),
    ('dd', 'ocpp/thames/broken.gz', 'ocpp', null, null, null, 'thames', 12, '2026-03-15 14:05:00+00', true, true, 0, 0, 0, 0, 'not a gzip file');
insert into meta.quality_result values
    ('run-2', 'ocpp', 'lake.ocpp_frame', 'not_null', 'station_id', 'warning', false, '3', 3, 'ST-?'),
    ('run-2', 'marts', 'marts.fct_port_day', 'seconds_of_a_day_add_up', null, 'error', true, '0', 0, null),
    ('run-1', 'marts', 'marts.fct_port_day', 'seconds_of_a_day_add_up', null, 'error', false, '9', 9, 'old');
