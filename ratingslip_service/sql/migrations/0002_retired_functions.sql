-- What the functions beside these migrations have replaced under another signature.
DROP FUNCTION IF EXISTS ratingslip.refuse_active_slip(uuid, uuid, uuid, integer);
