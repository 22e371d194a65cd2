-- Sample dimensions: 25 customers, 4 stores, 8 products, 10 sellers. All made up.
-- Re-runnable: a row that is there already stays as it is, so your own edits survive `init-db --seed`. Needs 001_dimensions.sql.
-- On purpose: customers 7 and 18 and seller 5 have no last name, 11 has an apostrophe, 13 and 22 are not ASCII, store 124 has no seller.

SET NAMES utf8mb4;

INSERT INTO customer (customer_id, first_name, last_name, address, pincode, phone_number, customer_joining_date) VALUES
  (1, 'Aarti', 'Deshmukh', '12 Laxmi Road, Pune', '411030', '9000000001', '2021-01-14'),
  (2, 'Bhavesh', 'Trivedi', '4 Ashram Road, Ahmedabad', '380009', '9000000002', '2021-03-02'),
  (3, 'Chitra', 'Venkatesan', '77 Pondy Bazaar, Chennai', '600017', '9000000003', '2021-04-21'),
  (4, 'Devendra', 'Rawat', '9 Rajpur Road, Dehradun', '248001', '9000000004', '2021-06-30'),
  (5, 'Esha', 'Mukherjee', '31 Gariahat Road, Kolkata', '700019', '9000000005', '2021-08-08'),
  (6, 'Feroz', 'Qureshi', '18 Charminar Lane, Hyderabad', '500002', '9000000006', '2021-09-17'),
  (7, 'Gowri', NULL, '5 Temple Tank Street, Madurai', '625001', '9000000007', '2021-11-25'),
  (8, 'Harpreet', 'Gill', '63 Mall Road, Amritsar', '143001', '9000000008', '2021-12-31'),
  (9, 'Indira', 'Hegde', '22 Car Street, Mangaluru', '575001', '9000000009', '2022-01-05'),
  (10, 'Jatin', 'Solanki', '40 Palace Road, Vadodara', '390001', '9000000010', '2022-02-28'),
  (11, 'Kevin', 'D''Souza', '8 Church Street, Panaji', '403001', '9000000011', '2022-04-10'),
  (12, 'Lalita', 'Mahapatra', '15 Puri Road, Bhubaneswar', '751001', '9000000012', '2022-05-19'),
  (13, 'मीरा', 'जोशी', '27 Tilak Road, Nagpur', '440002', '9000000013', '2022-07-01'),
  (14, 'Naveen', 'Poojary', '3 Beach Road, Udupi', '576101', '9000000014', '2022-08-15'),
  (15, 'Oviya', 'Selvam', '50 Cross Cut Road, Coimbatore', '641012', '9000000015', '2022-09-22'),
  (16, 'Parveen', 'Siddiqui', '11 Hazratganj, Lucknow', '226001', '9000000016', '2022-10-03'),
  (17, 'Queenie', 'Lyngdoh', '6 Police Bazaar, Shillong', '793001', '9000000017', '2022-12-12'),
  (18, 'Ramesh', NULL, '90 Gandhi Bazaar, Bengaluru', '560004', '9000000018', '2023-01-26'),
  (19, 'Sunita', 'Chaudhary', '14 Johari Bazaar, Jaipur', '302003', '9000000019', '2023-02-14'),
  (20, 'Tenzin', 'Bhutia', '2 Lal Bazaar, Gangtok', '737101', '9000000020', '2023-03-31'),
  (21, 'Uday', 'Barua', '36 Fancy Bazaar, Guwahati', '781001', '9000000021', '2023-05-05'),
  (22, 'Zoë', 'Fernandes', '19 Hill Road, Mumbai', '400050', '9000000022', '2023-06-18'),
  (23, 'Wasim', 'Mir', '7 Residency Road, Srinagar', '190001', '9000000023', '2023-08-09'),
  (24, 'Yamini', 'Naidu', '28 Dwaraka Nagar, Visakhapatnam', '530016', '9000000024', '2023-10-20'),
  (25, 'Zubin', 'Contractor', '33 Dadar East, Mumbai', '400014', '9000000025', '2023-12-29')
ON DUPLICATE KEY UPDATE customer_id = customer_id;

INSERT INTO store (id, address, store_pincode, store_manager_name, store_opening_date, reviews) VALUES
  (121, '1 Connaught Circle, Delhi', '110001', 'Manoj Bhatia', '2018-04-01', 'Quick tills, friendly staff'),
  (122, '25 Residency Road, Bengaluru', '560025', 'Nirmala Shetty', '2019-07-15', 'Fresh stock, narrow aisles'),
  (123, '60 Linking Road, Mumbai', '400050', 'Omkar Sawant', '2020-10-30', 'Long queues on Sundays'),
  (124, '9 Park Street, Kolkata', '700016', 'Paromita Sen', '2023-11-11', NULL)
ON DUPLICATE KEY UPDATE id = id;

INSERT INTO product (id, name, current_price, old_price, created_date, updated_date, expiry_date) VALUES
  (1, 'quaker oats', 212.00, 205.00, '2022-05-15 00:00:00', '2023-06-01 00:00:00', '2026-01-01'),
  (2, 'sugar', 50.00, 46.00, '2021-08-10 00:00:00', '2023-02-01 00:00:00', '2026-03-31'),
  (3, 'maida', 20.00, 18.00, '2021-08-10 00:00:00', '2023-02-01 00:00:00', '2025-12-31'),
  (4, 'besan', 52.00, 50.00, '2021-09-01 00:00:00', '2023-02-15 00:00:00', '2025-12-31'),
  (5, 'refined oil', 110.00, 125.00, '2021-09-01 00:00:00', '2023-07-10 00:00:00', '2026-06-30'),
  (6, 'clinic plus', 1.50, 1.00, '2022-01-20 00:00:00', '2023-01-01 00:00:00', '2027-01-20'),
  (7, 'dantkanti', 100.00, 95.00, '2022-01-20 00:00:00', '2023-04-01 00:00:00', '2026-09-30'),
  (8, 'nutrella', 40.00, NULL, '2023-03-05 00:00:00', NULL, '2025-11-30')
ON DUPLICATE KEY UPDATE id = id;

INSERT INTO sales_team (id, first_name, last_name, manager_id, is_manager, address, pincode, joining_date) VALUES
  (1, 'Anil', 'Kapadia', 10, 'N', '16 Karol Bagh, Delhi', '110005', '2020-01-06'),
  (2, 'Bindu', 'Mathew', 10, 'N', '7 Lajpat Nagar, Delhi', '110024', '2020-02-17'),
  (3, 'Chetan', 'Arora', 10, 'N', '42 Rohini Sector 7, Delhi', '110085', '2020-05-11'),
  (4, 'Deepa', 'Rangan', 10, 'N', '5 Jayanagar 4th Block, Bengaluru', '560011', '2020-08-24'),
  (5, 'Elango', NULL, 10, 'N', '13 Ulsoor Road, Bengaluru', '560042', '2020-11-02'),
  (6, 'Fatima', 'Baig', 10, 'N', '29 Frazer Town, Bengaluru', '560005', '2021-01-18'),
  (7, 'Ganesh', 'More', 10, 'N', '8 Parel Village, Mumbai', '400012', '2021-04-05'),
  (8, 'Heena', 'Vora', 10, 'N', '21 Ghatkopar West, Mumbai', '400086', '2021-07-19'),
  (9, 'Imran', 'Pathan', 10, 'N', '3 Kurla East, Mumbai', '400024', '2021-10-25'),
  (10, 'Jayanti', 'Pillai', NULL, 'Y', '55 Marine Drive, Mumbai', '400020', '2017-06-12')
ON DUPLICATE KEY UPDATE id = id;
