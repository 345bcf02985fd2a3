-- Properties: which go, under which name and type, within which limits.
CREATE EXTENSION pinterest_capi;
SET client_min_messages = warning;

INSERT INTO pinterest_capi.destination (destination) VALUES ('default');
INSERT INTO pinterest_capi.allowed_event (event_name, properties) VALUES
	('Plain', NULL), ('All', '{*}'), ('Some', '{search_string,item_name,app_info,device_info.model}');

-- the event without what every event has
CREATE FUNCTION made(event text, properties jsonb, OUT payload jsonb, OUT warnings text[]) LANGUAGE sql AS $$
	SELECT payload - 'event_name' - 'action_source' - 'event_time' - 'event_id' - 'user_data', warnings
		FROM pinterest_capi.preview(event, properties, '{"em": "a@example.com"}');
$$;
CREATE FUNCTION custom(properties jsonb, OUT custom_data jsonb, OUT warnings text[]) LANGUAGE sql AS $$
	SELECT payload -> 'custom_data', warnings FROM made('All', properties);
$$;

-- every property of the API, in the API's types, from the API's types
\set everything '{"page_url": "https://shop.example/a?b=c", "referrer": "https://search.example/?q=secret", "opt_out": false, "partner_name": "ss-shop", "language": "en", "app_id": "429047995", "app_name": "Shop", "app_version": "7.9", "device_brand": "Apple", "device_carrier": "T-Mobile", "device_model": "iPhone X", "device_type": "iPhone", "os_version": "12.1.4", "wifi": true, "advertiser_tracking_enabled": false, "currency": "USD", "value": "72.39", "order_id": "my_order_id", "num_items": 5, "content_ids": ["p-1", "p-2"], "contents": [{"id": "p-1", "item_price": "14.99", "quantity": 3, "item_name": "shirt", "item_category": "shirts", "item_brand": "own", "item_brand_id": "b-7"}], "predicted_ltv": "2794.82", "search_string": "blue shirt", "content_name": "clothing", "content_category": "shirts", "content_brand": "own", "opt_out_type": "LDP", "np": "ss-shop", "external_measurement_id": "rbos-1", "external_measurement_vendor_id": 1}'
SELECT jsonb_pretty(payload), warnings FROM made('All', :'everything');
-- the same from text: numbers and booleans arrive as the API's types
SELECT (made('All', :'everything')).payload = (made('All', :'everything'::jsonb || '{"opt_out": "f", "wifi": "yes", "value": 72.39, "num_items": "5", "predicted_ltv": 2794.82, "external_measurement_vendor_id": "1", "app_id": 429047995, "content_ids": ["p-1", null, "p-2"], "contents": {"id": "p-1", "item_price": 14.99, "quantity": "3", "item_name": "shirt", "item_category": "shirts", "item_brand": "own", "item_brand_id": "b-7"}, "advertiser_tracking_enabled": "no"}')).payload AS same;
-- JSON null is absence, for each of them
SELECT made('All', (SELECT jsonb_object_agg(key, NULL) FROM jsonb_each(:'everything')));

-- only what is structured goes unlisted
SELECT jsonb_pretty(payload), warnings FROM made('Plain', :'everything');
SELECT payload, warnings FROM made('Some', '{"search_string": "red", "content_name": "x", "contents": [{"id": "1", "item_name": "n", "item_brand": "b"}, {"id": "2", "item_brand": "b"}], "app_info": {"app_id": "1", "app_name": "Shop"}, "device_info": {"model": "X", "brand": "Y"}}');
-- unknown keys are counted, not named
SELECT payload, warnings FROM made('All', '{"a@example.com": 1, "Value": 2, "contents": [{"id": "1", "b@example.com": 1}], "app_info": {"c@example.com": 2}}');
SELECT warnings FROM made('All', '{"em": "a@example.com", "item_name": "x", "id": 1, "device_info.model": "X"}');

-- what was bought
SELECT * FROM custom('{"product_id": "p-1", "quantity": 2}');
SELECT * FROM custom('{"product_id": 4711}');
SELECT * FROM custom('{"product_ids": ["p-1", 2], "quantity": 3}');
SELECT * FROM custom('{"product_ids": "p-1"}');
SELECT * FROM custom('{"quantity": 3}');
SELECT * FROM custom('{"contents": [{"id": "a", "quantity": 2, "item_price": 5}, {"id": "b"}, {"item_price": "1.50", "quantity": "4"}]}');
SELECT * FROM custom('{"contents": [{"id": "a", "quantity": 2}], "num_items": 9, "content_ids": ["z"]}');
SELECT * FROM custom('{"contents": [{"id": "a"}], "product_id": "p-1", "quantity": 2}');
SELECT * FROM custom('{"product_ids": ["a"], "product_id": "p-1"}');
SELECT * FROM custom('{"contents": []}');
SELECT * FROM custom('{"contents": [{}, null, 1, "x", [], {"id": null}, {"id": ""}]}');
SELECT * FROM custom('{"contents": "x"}');
SELECT * FROM custom('{"contents": [[{"id": "deep"}]]}');
SELECT * FROM custom('{"contents": [{"id": {"a": 1}, "item_price": "free", "quantity": 1.5}, {"id": "ok", "quantity": -1}]}');
SELECT * FROM custom('{"content_ids": [], "product_ids": [null, ""]}');
SELECT * FROM custom('{"content_ids": {"a": 1}, "product_id": ["a"], "quantity": "many"}');
SELECT * FROM custom('{"product_id": "", "quantity": 0}');
SELECT jsonb_array_length(custom_data -> 'contents') AS lines, custom_data ->> 'num_items' AS num_items, jsonb_array_length(custom_data -> 'content_ids') AS ids, warnings
	FROM custom(jsonb_build_object('contents', (SELECT jsonb_agg(jsonb_build_object('id', n)) FROM generate_series(1, 1500) AS n)));

-- numbers
SELECT v, c.* FROM unnest(ARRAY['2', '2.0', '"02"', '"2e1"', '2.5', '-1', '"-0"', '1000000000', '1000000001', '9e99', '"NaN"', '"x"', 'true', '[2]', '{"a": 1}']::jsonb[]) AS v,
	custom(jsonb_build_object('num_items', v)) AS c;
SELECT v, c.* FROM unnest(ARRAY['0', '0.00', '1.50', '"1.50"', '".5"', '"5."', '"+3"', '"1e-3"', '1e30', '"-0.0"', '-2', '"1 000"', '"\u0661"', 'false', '9e60', '"1e41"', '"1e-41"']::jsonb[]) AS v,
	custom(jsonb_build_object('value', v)) AS c;

-- texts: clipped, PII taken out; ids that are too long stay away
SELECT length(custom_data ->> 'search_string'), warnings FROM custom(jsonb_build_object('search_string', repeat('é', 1000000)));
SELECT length(custom_data ->> 'search_string'), warnings FROM custom(jsonb_build_object('search_string', repeat('é', 1024)));
SELECT * FROM custom(jsonb_build_object('order_id', repeat('o', 513), 'np', repeat('n', 513)));
SELECT length(custom_data ->> 'order_id'), warnings FROM custom(jsonb_build_object('order_id', repeat('o', 512)));
SELECT * FROM custom('{"search_string": "write to ann@example.com", "content_name": "call +1 234 567 8901", "content_category": "card 4111 1111 1111 1111", "content_brand": "Levi''s 501"}');
SELECT * FROM custom('{"order_id": "ann@example.com", "content_ids": ["ann@example.com", "p-1"], "contents": [{"id": "bob@example.com", "item_name": "for ann@example.com"}]}');
-- an address across the place where the text is cut
SELECT custom_data IS NULL AS gone, warnings FROM custom(jsonb_build_object('search_string', repeat('s', 1018) || ' ann@example.com'));
SELECT * FROM custom('{"search_string": "  ", "content_name": "", "order_id": " 7 ", "content_brand": ["a"], "content_category": true}');
SELECT * FROM custom('{"search_string": "quote \" back \\ slash / line\nbreak \u0001 ü 漢"}');

-- languages and currencies
SELECT v, payload, warnings FROM unnest(ARRAY['en', 'DE', 'en-US', 'pt_BR', 'e', 'english', '', '12']) AS v, made('All', jsonb_build_object('language', v));
SELECT v, c.* FROM unnest(ARRAY['usd', ' Eur ', 'EURO', '€', 'ab1', '']) AS v, custom(jsonb_build_object('currency', v)) AS c;

-- app_info and device_info
\set app '{"app_id": 1, "app_name": "Shop", "app_package_name": "com.example.shop", "app_store": "Play", "app_version": "7.9", "install_time": 1739222269, "user_agent": "Mozilla/5.0", "window_height": 900, "window_width": "1678"}'
\set device '{"battery_level": 78, "brand": "Apple", "carrier": "T-Mobile", "cpu_cores": 8, "external_storage_free_space": 126, "external_storage_size": 512, "form_factor": "cellphone", "kernel_version": "6.15", "languages": ["en", "de"], "locale": "en-us", "model": "16 Pro", "network_type": "wifi", "os_family": "ios", "os_name": "10", "os_release_name": "18.3", "os_version": "18.3", "screen_density": 460, "screen_height": 2868, "screen_width": 1320, "storage_free_space": 184, "storage_size": 256, "timezone": "USA/New York", "timezone_abbr": "PDT", "type": "iPhone"}'
SELECT jsonb_pretty(payload), warnings FROM made('All', jsonb_build_object('app_info', :'app'::jsonb, 'device_info', :'device'::jsonb));
SELECT made('All', '{"app_info": {}, "device_info": {"model": null}}');
SELECT made('All', '{"app_info": "Shop", "device_info": ["iPhone"]}');
SELECT made('All', '{"device_info": {"battery_level": 101, "screen_width": 30721, "form_factor": "toaster", "os_family": "iOS", "timezone_abbr": "LONGER", "cpu_cores": -1, "languages": []}, "app_info": {"install_time": -5, "window_width": 30721}}');
SELECT length(payload #>> '{device_info,brand}') AS brand, length(payload #>> '{app_info,app_name}') AS app_name, warnings
	FROM made('All', jsonb_build_object('device_info', jsonb_build_object('brand', repeat('b', 300)), 'app_info', jsonb_build_object('app_name', repeat('n', 300))));

-- each of the 22 events under its own name, in both spellings
INSERT INTO pinterest_capi.allowed_event (event_name) SELECT event_name FROM pinterest_capi.standard_event WHERE lower(pascal_name) = event_name
	UNION ALL SELECT unnest(ARRAY[event_name, pascal_name]) FROM pinterest_capi.standard_event WHERE lower(pascal_name) <> event_name;
SELECT s.event_name, a.sent_as, b.sent_as = a.sent_as AND a.payload ->> 'event_name' = s.event_name AS same
	FROM pinterest_capi.standard_event AS s,
		pinterest_capi.preview(s.event_name, user_data => '{"em": "a@example.com"}') AS a,
		pinterest_capi.preview(s.pascal_name, user_data => '{"em": "a@example.com"}') AS b
	ORDER BY s.event_name;
-- and each property the table names is one
SELECT p FROM pinterest_capi.standard_event, unnest(required || properties) AS p WHERE NOT pinterest_capi._properties_ok(ARRAY[p]);

-- of device_info.languages two letters go, whatever their case
SELECT payload -> 'device_info' AS device_info, warnings FROM made('All', '{"device_info": {"languages": ["EN", "de-DE", "deu", "", null, "fr"]}}');
SELECT payload -> 'device_info' AS device_info, warnings FROM made('All', '{"device_info": {"languages": "en-US"}}');
SELECT payload -> 'custom_data' AS custom_data, warnings FROM made('All', jsonb_build_object('contents', jsonb_build_object('item_brand_id', repeat('b', 65), 'id', '1')));
SELECT given, p.payload -> 'user_data' -> 'customer_type' AS customer_type, p.warnings
FROM (VALUES ('"new"'), ('"Returning "'), ('["x", "new", "returning"]'), ('"guest"'), ('null')) AS v (given),
	pinterest_capi.preview('All', user_data => jsonb_build_object('em', 'a@example.com', 'customer_type', given::jsonb)) AS p;
SELECT pinterest_capi.identify('customer', '{"customer_type": "new", "em": "a@example.com"}');
SELECT payload -> 'user_data' ? 'customer_type' AS stored FROM pinterest_capi.preview('All', visitor_id => 'customer');
DROP EXTENSION pinterest_capi CASCADE;
DROP FUNCTION made, custom;
