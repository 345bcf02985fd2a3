-- Publishing and subscribing: what is refused. The rest needs more than one server: t/090.
CREATE EXTENSION pinterest_capi;
SELECT pinterest_capi.subscribe(NULL, 'shop');
SELECT pinterest_capi.subscribe('dbname=nowhere', NULL);
SELECT pinterest_capi.subscribe('dbname=nowhere', '');
SELECT pinterest_capi.subscribe('dbname=nowhere', 'Shop 1');
SELECT pinterest_capi.subscribe('dbname=nowhere', repeat('a', 40));
BEGIN;
SELECT pinterest_capi.subscribe('dbname=nowhere', 'shop');
ROLLBACK;
SELECT pinterest_capi._make_slot('mine');
SELECT pinterest_capi._attach('mine');
CREATE ROLE scale_somebody;
SET ROLE scale_somebody;
SELECT pinterest_capi.publish();
SELECT pinterest_capi.subscribe('dbname=nowhere', 'shop');
SELECT pinterest_capi._make_slot('mine');
SELECT pinterest_capi._attach('mine');
RESET ROLE;
-- for replication workers alone, and only as what it is
SELECT pinterest_capi._received();
CREATE TABLE other (id int);
CREATE TRIGGER wrong AFTER INSERT ON other FOR EACH ROW EXECUTE FUNCTION pinterest_capi._received();
INSERT INTO other VALUES (1);
SET session_replication_role = replica;
INSERT INTO pinterest_capi._event (id, created_at, event_time, dest, event_id, event_name, destination)
	VALUES (7, now(), now(), 0, 'as-it-is', 'checkout', 'default');
RESET session_replication_role;
SELECT id, event_id, origin FROM pinterest_capi.dispatch_status;
DROP TABLE other;
DROP ROLE scale_somebody;
DROP EXTENSION pinterest_capi;
