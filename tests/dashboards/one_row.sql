-- One of each: one port that has stood available for an hour and sold one session.
insert into marts.dim_owner values ('own-a', 'Alpine Parking', 'CH', 'CHF');
insert into marts.dim_operator values ('op-1', 'VoltRun', 'CH*VLT');
insert into marts.dim_emsp values ('em-1', 'EasyDrive', 'DE*EZD');
insert into marts.dim_site values ('a1', 'Station Garage', 'own-a', 'op-1', 'Europe/Zurich', 'CH', 'CHF', 'Zug');
insert into marts.dim_station values ('ST-a1', 'a1', 'Charge Co', 'C50');
insert into marts.dim_port values ('ST-a1/1', 'ST-a1', 'a1', 'own-a', 'op-1', '1', 'DC', 50, null);
insert into marts.fct_port_state values
    ('ST-a1/1', 'a1', 'available', '2026-03-15 12:00:00+00', null, 3600, null, '2026-03-15 13:00:00+00');
insert into marts.fct_port_day values
    ('ST-a1/1', 'a1', 'own-a', 'op-1', '2026-03-15', 3600, 3600, 0, 0, 0, 0, 0, 0, 1, 10, 40, 4.5, 'CHF');
insert into marts.fct_session values
    ('s1', 'ST-a1', 'ST-a1/1', 'a1', 'own-a', 'op-1', 't1', '2026-03-15 12:10:00+00', '2026-03-15 12:40:00+00', 10, true);
insert into marts.fct_cdr values (
    'k1', 'CDR-1', 'voltrun', 'CH', 'VLT', '2.2.1', 'a1', 'ST-a1/1', 'own-a', 'op-1', 'em-1', 's1',
    '2026-03-15 12:10:00+00', '2026-03-15 12:40:00+00', 10, 1800, 'CHF', 4.5, 4.86, 4.5, 4.86, 'match', null, false, null, false, false, true, '2026-03-01',
    'Europe/Zurich',
    '2026-03-15 12:52:00+00'
);
insert into marts.fct_cdr_price_line values ('k1', 'CDR-1', 1, 'ENERGY', 'T1', 1, 10, 10, 'kWh', 0.45, 4.5, 0.081);
insert into marts.fct_site_month values ('a1', 'own-a', 'op-1', '2026-03-01', 'CHF', true, 1, 10, 4.5, 0);
insert into marts.fct_load_15min values ('a1', '2026-03-15 12:15:00+00', 20, 5);
insert into meta.run values
    ('run-1', '2026-03-15 13:00:00+00', '2026-03-15 13:01:00+00', 'success', 1, 4, 4, 0, 0, 40, 12, 0, 61.5, 'v1');
insert into meta.source_file values (
    'aa', 'ocpp/a.log', 'ocpp', null, 'jsonl', null, 'a', 100, '2026-03-15 13:00:00+00', true, true, 4, 4, 0, 0, null
);
insert into meta.quality_result values
    ('run-1', 'ocpp', 'lake.ocpp_frame', 'not_null', 'station_id', 'error', true, '0', 0, null);
