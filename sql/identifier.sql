-- normalize_identifier and hash_identifier; the rules themselves are tested in test/unit.
CREATE EXTENSION pinterest_capi;
\pset null (null)
SELECT kind, value, pinterest_capi.normalize_identifier(kind, value) AS normalized,
	pinterest_capi.hash_identifier(kind, value) = encode(sha256(convert_to(pinterest_capi.normalize_identifier(kind, value), 'UTF8')), 'hex') AS hashed
FROM (VALUES
	('em', ' Jane.Doe@Example.COM '), ('em', 'mailto:jane@example.com'), ('em', 'no address'), ('em', ''),
	('ph', '+1 (212) 555-1234'), ('ph', '0049 176 80817263'), ('ph', 'call me'),
	('ge', 'Female'), ('ge', 'M'), ('ge', 'unknown'),
	('db', '1990-02-01'), ('db', '19900201'), ('db', '02/30/1990'),
	('ln', ' O''Connor-Smith '), ('fn', 'JOSÉ'), ('fn', E'Jose\u0301'), ('ct', 'São Paulo'), ('st', 'California'), ('st', ' ca '),
	('zp', '94016-1234'), ('zp', 'SW1A 1AA'), ('country', 'United States'), ('country', 'us'), ('country', 'Narnia'),
	('external_id', ' Customer-42 '), ('hashed_maids', 'AEBE52E7-03EE-455A-B3C4-E57283966239'), ('hashed_maids', '00000000-0000-0000-0000-000000000000')
) AS v (kind, value);
-- a value that is a hash passes
SELECT pinterest_capi.hash_identifier('em', upper(encode(sha256('x'), 'hex'))) = encode(sha256('x'), 'hex') AS passes;
SELECT pinterest_capi.hash_identifier('em', NULL), pinterest_capi.normalize_identifier('em', NULL);
SELECT pinterest_capi.hash_identifier('em', repeat('a', 100000) || '@example.com');
SELECT pinterest_capi.hash_identifier('email', 'a@example.com');
SELECT pinterest_capi.normalize_identifier('', 'a@example.com');
\set VERBOSITY sqlstate
SELECT pinterest_capi.hash_identifier('EM', 'a@example.com');
\set VERBOSITY default
SELECT proname, provolatile, proisstrict, proparallel FROM pg_proc WHERE proname IN ('normalize_identifier', 'hash_identifier') ORDER BY 1;
DROP EXTENSION pinterest_capi;
