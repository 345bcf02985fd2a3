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
-- phone numbers in national form and states, where the country is known; a country of null is none
SELECT kind, value, country, pinterest_capi.normalize_identifier(kind, value, country) AS normalized,
	pinterest_capi.hash_identifier(kind, value, country) = encode(sha256(convert_to(pinterest_capi.normalize_identifier(kind, value, country), 'UTF8')), 'hex') AS hashed
FROM (VALUES
	('ph', '0171 1234567', 'DE'), ('ph', '0171 1234567', 'Deutschland'), ('ph', '+49 (0)171 1234567', NULL), ('ph', '0171 1234567', NULL),
	('ph', '06 6982 1234', 'IT'), ('ph', '8 (912) 345-67-89', 'RU'), ('ph', '8~10 44 20 7946 0958', 'RU'), ('ph', '06 20 123 4567', 'HU'),
	('ph', '011 44 20 7946 0958', 'us'), ('ph', '0011 44 20 7946 0958', 'AU'), ('ph', '(212) 555-1234', 'USA'), ('ph', '555-1234', 'US'),
	('ph', '011 15-2345-6789', 'AR'), ('ph', '020 7946 0958 ext. 12', 'UK'), ('ph', '49301234567', 'DE'), ('ph', '491711234567', 'DE'),
	('ph', '0171 1234567', 'Narnia'), ('ph', NULL, 'DE'),
	('st', 'Ontario', 'CA'), ('st', 'Ontario', 'US'), ('st', 'Georgia', 'DE'), ('st', 'Georgia', NULL),
	('em', 'Jane@Example.com', 'DE'), (NULL, 'Jane@Example.com', 'DE')
) AS v (kind, value, country);
SELECT pinterest_capi.normalize_identifier('db', '2999-12-31');
SELECT proname, pg_get_function_arguments(oid), provolatile, proisstrict, proparallel FROM pg_proc WHERE proname IN ('normalize_identifier', 'hash_identifier') ORDER BY 1, 2;
DROP EXTENSION pinterest_capi;
