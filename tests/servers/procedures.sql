-- The three procedures that processing services write jobs with, in the manner of ISPyB's
-- own: an upsert by id, nothing committed. Separated by lines that end with two dollars.
CREATE PROCEDURE upsert_processing_job(
    INOUT p_id int(11) unsigned,
    p_dataCollectionId int(11) unsigned,
    p_displayName varchar(80),
    p_comments varchar(255),
    p_recipe varchar(50),
    p_automatic tinyint(1)
)
    MODIFIES SQL DATA
    COMMENT 'Inserts or updates a ProcessingJob. Returns its id in p_id.'
BEGIN
    INSERT INTO ProcessingJob
        (processingJobId, dataCollectionId, displayName, comments, recipe, automatic)
    VALUES (p_id, p_dataCollectionId, p_displayName, p_comments, p_recipe, p_automatic)
    ON DUPLICATE KEY UPDATE
        dataCollectionId = IFNULL(p_dataCollectionId, dataCollectionId),
        displayName = IFNULL(p_displayName, displayName),
        comments = IFNULL(p_comments, comments),
        recipe = IFNULL(p_recipe, recipe),
        automatic = IFNULL(p_automatic, automatic);
    IF p_id IS NULL THEN
        SET p_id = LAST_INSERT_ID();
    END IF;
END
$$
CREATE PROCEDURE upsert_processing_job_parameter(
    INOUT p_id int(11) unsigned,
    p_processingJobId int(11) unsigned,
    p_parameterKey varchar(80),
    p_parameterValue varchar(1024)
)
    MODIFIES SQL DATA
    COMMENT 'Inserts or updates a parameter of a ProcessingJob. Returns its id in p_id.'
BEGIN
    INSERT INTO ProcessingJobParameter
        (processingJobParameterId, processingJobId, parameterKey, parameterValue)
    VALUES (p_id, p_processingJobId, p_parameterKey, p_parameterValue)
    ON DUPLICATE KEY UPDATE
        processingJobId = IFNULL(p_processingJobId, processingJobId),
        parameterKey = IFNULL(p_parameterKey, parameterKey),
        parameterValue = IFNULL(p_parameterValue, parameterValue);
    IF p_id IS NULL THEN
        SET p_id = LAST_INSERT_ID();
    END IF;
END
$$
CREATE PROCEDURE upsert_processing_job_image_sweep(
    INOUT p_id int(11) unsigned,
    p_processingJobId int(11) unsigned,
    p_dataCollectionId int(11) unsigned,
    p_startImage mediumint(8) unsigned,
    p_endImage mediumint(8) unsigned
)
    MODIFIES SQL DATA
    COMMENT 'Inserts or updates an image sweep of a ProcessingJob. Returns its id in p_id.'
BEGIN
    INSERT INTO ProcessingJobImageSweep
        (processingJobImageSweepId, processingJobId, dataCollectionId, startImage, endImage)
    VALUES (p_id, p_processingJobId, p_dataCollectionId, p_startImage, p_endImage)
    ON DUPLICATE KEY UPDATE
        processingJobId = IFNULL(p_processingJobId, processingJobId),
        dataCollectionId = IFNULL(p_dataCollectionId, dataCollectionId),
        startImage = IFNULL(p_startImage, startImage),
        endImage = IFNULL(p_endImage, endImage);
    IF p_id IS NULL THEN
        SET p_id = LAST_INSERT_ID();
    END IF;
END
