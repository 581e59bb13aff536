{# One row per BootNotification call, delivered any number of times. #}
select *
from {{ source('ocpp', 'boot') }}
